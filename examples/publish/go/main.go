// Shop publishes the orders of a shop's outbox to a flow, and reads what the flow confirms.
//
//	shop publish | results N | post
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, words []string) error {
	switch {
	case len(words) == 1 && words[0] == "publish":
		return publish(ctx)
	case len(words) == 1 && words[0] == "post":
		return post(ctx)
	case len(words) == 2 && words[0] == "results":
		count, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		return results(ctx, count)
	}
	return errors.New("say publish, results N or post")
}

func env(name, otherwise string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return otherwise
}

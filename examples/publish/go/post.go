package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// post sends the outbox to the HTTP door and prints each row's id and the address of its run. Sent again, an event is
// followed to the run that it began.
func post(ctx context.Context) error {
	client := &http.Client{Timeout: 30 * time.Second}
	for event, err := range rows(os.Stdin) {
		if err != nil {
			return err
		}
		run, err := postOne(ctx, client, event)
		if err != nil {
			return fmt.Errorf("%s: %w", event.ID(), err)
		}
		fmt.Println(event.ID(), run)
	}
	return nil
}

func postOne(ctx context.Context, client *http.Client, event cloudevents.Event) (string, error) {
	request, err := cehttp.NewHTTPRequestFromEvent(ctx, env("DOOR", "http://127.0.0.1:8080")+"/events", event)
	if err != nil {
		return "", err
	}
	request.Header.Set("X-API-Key", env("DOOR_KEY", ""))
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode/100 != 2 {
		return "", fmt.Errorf("%s %s", answer.Status, body)
	}
	return answer.Header.Get("Location"), nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
)

func brokers() []string { return strings.Split(env("KAFKA", "127.0.0.1:9092"), ",") }

// named gives a topic or group the prefix of its environment, such as "staging.".
func named(name string) string { return env("PREFIX", "") + name }

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	return config
}

// publish sends the outbox to Kafka and prints the id of each row that the brokers have: only then it is marked as sent.
// A crash between sending and marking sends a row twice; the flow drops the second.
func publish(ctx context.Context) error {
	config := settings()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1 // sarama's condition for an idempotent producer
	sender, err := kafka_sarama.NewSender(brokers(), config, named("orders.placed"))
	if err != nil {
		return err
	}
	defer sender.Close(ctx)
	for event, err := range rows(os.Stdin) {
		if err != nil {
			return err
		}
		if err := sender.Send(ctx, binding.ToMessage(&event)); err != nil {
			return fmt.Errorf("%s: %w", event.ID(), err)
		}
		fmt.Println(event.ID())
	}
	return nil
}

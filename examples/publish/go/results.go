package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
)

// results prints so many confirmations from Kafka, one line of JSON each, and commits how far it came. Without
// ReadCommitted it would also see what a worker wrote and took back.
func results(ctx context.Context, count int) error {
	config := settings()
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	group, err := sarama.NewConsumerGroup(brokers(), named("shop-go"), config)
	if err != nil {
		return err
	}
	defer group.Close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := make(chan string) // partitions are read side by side; one counts
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{named("orders.confirmed")}, reader{lines}); err != nil {
				done <- err
				return
			}
		}
	}()
	for ; count > 0; count-- {
		select {
		case line := <-lines:
			fmt.Println(line)
		case err := <-done:
			return errors.Join(errors.New("reading ended early"), err)
		}
	}
	return nil
}

type reader struct{ lines chan<- string }

func (reader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (reader) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (r reader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		event, err := binding.ToEvent(session.Context(), kafka_sarama.NewMessageFromConsumerMessage(message))
		if err != nil {
			return err
		}
		select {
		case r.lines <- string(event.Data()):
			session.MarkMessage(message, "")
			session.Commit()
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

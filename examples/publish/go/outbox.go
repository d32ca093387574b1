package main

import (
	"encoding/json"
	"io"
	"iter"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

// row is a row of an outbox: a table that is written in the transaction that places the order.
type row struct {
	ID    string `json:"id"`
	Order string `json:"order"`
	Cents int64  `json:"cents"`
}

type orderPlaced struct {
	Order string `json:"order"`
	Cents int64  `json:"cents"`
}

// rows reads an outbox, lines of JSON such as {"id": "row-1", "order": "A-1", "cents": 1200}, as CloudEvents. Source and
// the row's id name an event: whoever sends a row again sends the same event.
func rows(outbox io.Reader) iter.Seq2[cloudevents.Event, error] {
	return func(yield func(cloudevents.Event, error) bool) {
		for decoder := json.NewDecoder(outbox); decoder.More(); {
			var r row
			if err := decoder.Decode(&r); err != nil {
				yield(cloudevents.Event{}, err)
				return
			}
			if !yield(event(r)) {
				return
			}
		}
	}
}

func event(r row) (cloudevents.Event, error) {
	e := cloudevents.NewEvent()
	e.SetID(r.ID)
	e.SetSource("/shop/go")
	e.SetType("orders.placed.OrderPlaced.v1")
	e.SetTime(time.Now())
	e.SetExtension("partitionkey", r.Order) // becomes the record's key
	err := e.SetData(cloudevents.ApplicationJSON, orderPlaced{r.Order, r.Cents})
	return e, err
}

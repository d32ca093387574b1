/**
 * Rows of an outbox as CloudEvents: lines of JSON on stdin, such as {"id": "row-1", "order": "A-1", "cents": 1200}; in a
 * shop, rows of a table that are written in the transaction that places the order. Source and the row's id name an
 * event: whoever sends a row again sends the same event.
 */
import { createInterface } from "node:readline";
import { CloudEvent } from "cloudevents";

export const kafka = (process.env.KAFKA ?? "127.0.0.1:9092").split(",");
/** Of every topic and group: the environment's, such as "staging.". */
export const prefix = process.env.PREFIX ?? "";

interface Row {
  id: string;
  order: string;
  cents: number;
}

export async function* rows() {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, order, cents } = JSON.parse(line) as Row;
    yield new CloudEvent({
      id,
      source: "/shop/typescript",
      type: "orders.placed.OrderPlaced.v1",
      datacontenttype: "application/json",
      partitionkey: order, // becomes the record's key
      data: { order, cents },
    });
  }
}

/** From the outbox to Kafka. Prints the id of each row that the brokers have: only then it is marked as sent. */
import { ProduceAcks, Producer, stringSerializers, type MessageToProduce } from "@platformatic/kafka";
import { Kafka } from "cloudevents";
import { kafka, prefix, rows } from "./outbox.js";

// A crash between sending and marking sends a row twice; the flow drops the second.
const producer = new Producer({
  clientId: "shop",
  bootstrapBrokers: kafka,
  serializers: stringSerializers,
  idempotent: true,
  acks: ProduceAcks.ALL,
});
const ids: string[] = [];
const messages: MessageToProduce<string, string, string, string>[] = [];
for await (const event of rows()) {
  const { key, headers } = Kafka.binary(event);
  ids.push(event.id);
  messages.push({
    topic: `${prefix}orders.placed`,
    key: String(key),
    value: JSON.stringify(event.data),
    headers: headers as Record<string, string>,
  });
}
try {
  await producer.send({ messages });
  for (const id of ids) console.log(id);
} finally {
  await producer.close();
}

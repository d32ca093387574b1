/** Confirmations from Kafka: prints so many, one line of JSON each, and commits how far it came. */
import {
  Consumer,
  FetchIsolationLevels,
  MessagesStreamFallbackModes,
  MessagesStreamModes,
  stringDeserializers,
} from "@platformatic/kafka";
import { type CloudEvent, Kafka, type KafkaMessage } from "cloudevents";
import { kafka, prefix } from "./outbox.js";

let left = Number(process.argv[2]);
const consumer = new Consumer({
  clientId: "shop",
  groupId: `${prefix}shop-typescript`,
  bootstrapBrokers: kafka,
  deserializers: stringDeserializers,
});
const stream = await consumer.consume({
  topics: [`${prefix}orders.confirmed`],
  mode: MessagesStreamModes.COMMITTED,
  fallbackMode: MessagesStreamFallbackModes.EARLIEST,
  isolationLevel: FetchIsolationLevels.READ_COMMITTED, // else: also what a worker wrote and took back
  autocommit: false,
});
for await (const { key, value, headers, commit } of stream) {
  const message: KafkaMessage<string> = { key, value, headers: Object.fromEntries(headers), body: value };
  const event = Kafka.toEvent<object>(message) as CloudEvent<object>;
  console.log(JSON.stringify(event.data));
  await commit();
  if (--left === 0) break;
}
await consumer.close(true);

/** From the outbox to the HTTP door. Prints each row's id and the address of its run. */
import { HTTP } from "cloudevents";
import { rows } from "./outbox.js";

const door = process.env.DOOR ?? "http://127.0.0.1:8080";

// Sent again, an event is followed to the run that it began.
for await (const event of rows()) {
  const { headers, body } = HTTP.binary(event);
  const answer = await fetch(`${door}/events`, {
    method: "POST",
    headers: { ...(headers as Record<string, string>), "X-API-Key": process.env.DOOR_KEY ?? "" },
    body: body as string,
    signal: AbortSignal.timeout(30_000),
  });
  if (!answer.ok) throw new Error(`${event.id}: ${answer.status} ${await answer.text()}`);
  console.log(event.id, answer.headers.get("location"));
}

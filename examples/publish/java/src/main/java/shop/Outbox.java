package shop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Rows of an outbox as CloudEvents: lines of JSON on stdin, such as {"id": "row-1", "order": "A-1", "cents": 1200}; in a
 * shop, rows of a table that are written in the transaction that places the order. Source and the row's id name an event:
 * whoever sends a row again sends the same event.
 */
final class Outbox {
    static final String KAFKA = System.getenv().getOrDefault("KAFKA", "127.0.0.1:9092");
    /** Of every topic and group: the environment's, such as "staging.". */
    static final String PREFIX = System.getenv().getOrDefault("PREFIX", "");

    private static final URI SOURCE = URI.create("/shop/java");
    private static final ObjectMapper JSON = new ObjectMapper();

    /** One row: the order's number, which keys the record, and the event. */
    record Row(String order, CloudEvent event) {}

    private Outbox() {}

    static List<Row> rows() throws IOException {
        var rows = new ArrayList<Row>();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            rows.add(row(JSON.readTree(line)));
        }
        return rows;
    }

    private static Row row(JsonNode row) throws IOException {
        var order = row.get("order").asText();
        var data = JSON.writeValueAsBytes(Map.of("order", order, "cents", row.get("cents").asLong()));
        var event = CloudEventBuilder.v1()
                .withId(row.get("id").asText())
                .withSource(SOURCE)
                .withType("orders.placed.OrderPlaced.v1")
                .withTime(OffsetDateTime.now())
                .withData("application/json", data)
                .build();
        return new Row(order, event);
    }
}

package shop;

import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventSerializer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** From the outbox to Kafka. Prints the id of each row that the brokers have: only then it is marked as sent. */
final class Publish {
    private record Sent(String id, Future<RecordMetadata> done) {}

    private Publish() {}

    /** A crash between sending and marking sends a row twice; the flow drops the second. */
    static void run() throws Exception {
        Map<String, Object> settings = Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, Outbox.KAFKA,
                ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
                ProducerConfig.ACKS_CONFIG, "all",
                ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class,
                ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, CloudEventSerializer.class);
        try (var producer = new KafkaProducer<String, CloudEvent>(settings)) {
            List<Sent> sent = new ArrayList<>();
            for (var row : Outbox.rows()) {
                var record = new ProducerRecord<>(Outbox.PREFIX + "orders.placed", row.order(), row.event());
                sent.add(new Sent(row.event().getId(), producer.send(record)));
            }
            for (var each : sent) {
                each.done().get();
                System.out.println(each.id());
            }
        }
    }
}

package shop;

import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Confirmations from Kafka: prints so many, one line of JSON each, and commits how far it came. */
final class Results {
    private Results() {}

    /** Without "read_committed" it would also see what a worker wrote and took back. */
    static void run(int count) {
        Map<String, Object> settings = Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, Outbox.KAFKA,
                ConsumerConfig.GROUP_ID_CONFIG, Outbox.PREFIX + "shop-java",
                ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
                ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class,
                ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, CloudEventDeserializer.class);
        try (var consumer = new KafkaConsumer<String, CloudEvent>(settings)) {
            consumer.subscribe(List.of(Outbox.PREFIX + "orders.confirmed"));
            for (int seen = 0; seen < count; ) {
                var records = consumer.poll(Duration.ofSeconds(1));
                for (var record : records) {
                    System.out.println(new String(record.value().getData().toBytes(), StandardCharsets.UTF_8));
                }
                seen += records.count();
                consumer.commitSync();
            }
        }
    }
}

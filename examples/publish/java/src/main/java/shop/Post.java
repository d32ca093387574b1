package shop;

import io.cloudevents.CloudEvent;
import io.cloudevents.http.HttpMessageFactory;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/** From the outbox to the HTTP door. Prints each row's id and the address of its run. */
final class Post {
    private static final String DOOR = System.getenv().getOrDefault("DOOR", "http://127.0.0.1:8080");
    private static final String KEY = System.getenv().getOrDefault("DOOR_KEY", "");

    private Post() {}

    /** Sent again, an event is followed to the run that it began. */
    static void run() throws Exception {
        // not with an offer of HTTP/2 in the request: servers that do not know it may lose the body
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (var row : Outbox.rows()) {
            var answer = client.send(request(row.event()), BodyHandlers.ofString());
            if (answer.statusCode() / 100 != 2) {
                throw new IOException(row.event().getId() + ": " + answer.statusCode() + " " + answer.body());
            }
            System.out.println(row.event().getId() + " " + answer.headers().firstValue("Location").orElseThrow());
        }
    }

    private static HttpRequest request(CloudEvent event) {
        var request = HttpRequest.newBuilder(URI.create(DOOR + "/events"))
                .timeout(Duration.ofSeconds(30))
                .header("X-API-Key", KEY);
        HttpMessageFactory.createWriter(request::header, body -> request.POST(BodyPublishers.ofByteArray(body)))
                .writeBinary(event);
        return request.build();
    }
}

"""An app's place on a Kafka cluster: topics and how they are shaped, rights, where groups start, and moving them."""

"""Kafka as a bus: the same contract as the local bus, kept by transactions and generation fencing of our own."""

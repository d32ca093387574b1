"""Contracts: events and the topics they live on."""

"""What the judges do when the brokers cannot answer yet."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from tests.chaos_kafka import judge


def test_a_group_whose_coordinator_moves_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets are read once the new coordinator answers; an error that does not pass is raised at once."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    answers = [KafkaError(KafkaError.NOT_COORDINATOR), KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS), None]

    def ask() -> list[TopicPartition]:
        if (error := answers.pop(0)) is not None:
            raise KafkaException(error)
        return [TopicPartition("t", 0, 7)]

    assert judge._answered(ask)[0].offset == 7
    answers[:] = [KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)]
    with pytest.raises(KafkaException):
        judge._answered(ask)

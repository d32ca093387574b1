"""The judge of `make kubernetes` sees what it is there to see."""

from __future__ import annotations

import json

from tests.kubernetes.judge import ANSWERS, DEAD, DESKS, Record, counts


def record(topic: str, number: int, id_: str) -> Record:
    """As a worker would have written it."""
    return (
        topic,
        {"ce_source": b"stepwire:support/x", "ce_id": id_.encode()},
        json.dumps({"customer": f"c-{number}"}).encode(),
    )


def whole(published: int) -> list[Record]:
    """Each ticket on a desk, and answered."""
    return [record(topic, n, f"{topic}{n}") for n in range(published) for topic in (DESKS[n % 3], ANSWERS)]


def test_all_is_well() -> None:
    """Every ticket answered once: nothing lost, nothing double."""
    told = counts(whole(7), 7)
    assert (told["answered"], told["lost"], told["duplicated"]) == (7, 0, 0)


def test_a_missing_answer_and_a_dead_letter_are_lost() -> None:
    """Either counts."""
    assert counts([each for each in whole(7) if each != record(ANSWERS, 3, f"{ANSWERS}3")], 7)["lost"] == 1
    assert counts([*whole(7), (DEAD[0], {}, b"")], 7)["lost"] == 1


def test_a_second_answer_or_record_is_double() -> None:
    """By its customer under another id, by its id alone, and one step before the answer."""
    assert counts([*whole(7), record(ANSWERS, 3, "another")], 7)["duplicated"] == 1
    assert counts([*whole(7), record(ANSWERS, 3, f"{ANSWERS}3")], 7)["duplicated"] == 1
    assert counts([*whole(7), record(DESKS[1], 3, "another")], 7)["duplicated"] == 1

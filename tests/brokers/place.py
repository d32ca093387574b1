"""Where the shared broker comes from, in this order: given, a container, Kafka's jars.

In: STEPWIRE_TEST_KAFKA, and what this machine has. Out: bootstrap servers, or `NotHere` with the reason of each way.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.brokers.asking import brokers_known_at, wait_until
from tests.brokers.cluster import start_cluster
from tests.brokers.container import need_image, start_container
from tests.brokers.jars import NotHere, kafka_jars
from tests.brokers.node import BrokerFailed
from tests.brokers.warm_up import warm_up

VARIABLE = "STEPWIRE_TEST_KAFKA"
ANSWER_SECONDS = 20


def fetch_what_is_needed() -> None:
    """Download and warm up ahead of the tests, whose time limits are not meant for it. What is missing shows later."""
    if os.environ.get(VARIABLE):
        return
    try:
        need_image()
    except NotHere:
        with suppress(NotHere, BrokerFailed):
            warm_up(kafka_jars())


def open_broker(stack: ExitStack, home: Path) -> str:
    """A broker that lives until the stack closes."""
    given = os.environ.get(VARIABLE)
    if given:
        # a person asked for this one: another would hide that it is away
        if not wait_until(lambda: bool(brokers_known_at(given)), ANSWER_SECONDS):
            raise ConnectionError(f"{VARIABLE}={given}, but no broker answers there; start it or unset {VARIABLE}")
        return given
    try:
        need_image()
        return start_container(stack)
    except NotHere as wrong:
        no_container = str(wrong)
    try:
        return stack.enter_context(start_cluster(home)).bootstrap
    except NotHere as wrong:
        raise NotHere(f"{VARIABLE} is not set; {no_container}; {wrong}") from wrong

"""Doors in processes of their own, killed, stopped, and side by side."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from tests.door.doors import Doors, result


def test_what_was_acknowledged_survives_kill_9(doors: Doors) -> None:
    """Killed while callers send: every 202 is a run afterwards; a repeat under the same keys makes none twice."""
    process, url = doors.door()
    told: dict[str, str] = {}

    client = httpx2.Client(timeout=10, verify=False)  # plain HTTP needs no certificates, and they take long to load

    def send(number: int) -> None:
        for part in range(200):
            key = f"{number}-{part}"
            try:
                answer = client.post(url + "/apps/shop/Order", json={"n": 1}, headers={"idempotency-key": key})
            except httpx2.TransportError:
                return
            told[key] = answer.headers["location"]
            if len(told) >= 30:
                process.kill()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))
    assert process.wait(10) == -signal.SIGKILL and len(told) >= 30
    _, again = doors.door()
    for key, run in told.items():
        assert client.get(again + run).json()["run"] == run.rpartition("/")[2]
        answer = client.post(again + "/apps/shop/Order", json={"n": 1}, headers={"idempotency-key": key})
        assert (answer.headers["location"], answer.json()["repeated"]) == (run, True)
    client.close()


@pytest.mark.slow
def test_sigterm_answers_who_waits_and_ends_in_order(doors: Doors) -> None:
    """A request that waits and a stream that is open end at once; exit 0; the run goes on under a worker."""
    process, url = doors.door()
    first = httpx2.post(url + "/apps/shop/Order", json={"n": 7})
    streamed = threading.Event()
    answers: list[httpx2.Response] = []

    def wait() -> None:
        answers.append(httpx2.post(url + "/apps/shop/Order", json={"n": 8}, headers={"prefer": "wait=60"}, timeout=30))

    def read() -> None:
        with httpx2.stream("GET", url + first.headers["location"] + "/stream", timeout=30) as response:
            for line in response.iter_lines():
                if line.startswith("event: state"):
                    streamed.set()

    threads = [threading.Thread(target=wait), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    assert streamed.wait(10)
    while not _waits(url):
        assert threads[0].is_alive()
    process.terminate()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert process.wait(10) == 0
    (answer,) = answers
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    doors.worker()
    _, again = doors.door()
    assert result(again, answer.headers["location"])["n"] == 8


def _waits(url: str) -> bool:
    """Has the second order been written, so that its request waits?"""
    return 'events_total{app="shop",outcome="published"} 2.0' in httpx2.get(url + "/metrics").text


@pytest.mark.slow
def test_two_doors_with_one_key_agree(doors: Doors) -> None:
    """At the same time through both: one of them wrote it, both name one run, and it has one result."""
    urls = [doors.door()[1], doors.door()[1]]
    doors.worker()

    def send(number: int) -> httpx2.Response:
        key = {"idempotency-key": str(number // 2)}
        return httpx2.post(urls[number % 2] + "/apps/shop/Order", json={"n": 5}, headers=key, timeout=20)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, range(20)))
    for one, other in zip(answers[::2], answers[1::2], strict=True):
        assert one.headers["location"] == other.headers["location"]
        assert sorted((one.json()["repeated"], other.json()["repeated"])) == [False, True]
        assert result(urls[0], one.headers["location"])["n"] == 5

"""`helm test` with `tests.publish`: by which way the event goes, and what the pod says of a real door's answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.door.doors import APPS, ROOT, Doors
from tests.helm.chart import Object, changed, of_kind, render, values_of

from stepwire_handlers.services.door.access import new_key


def _check(objects: list[Object]) -> Object:
    (pod,) = [one for one in of_kind(objects, "Pod") if one["metadata"]["name"].endswith("-test-publish")]
    (container,) = pod["spec"]["containers"]
    return container


def test_with_a_key_the_event_goes_by_the_door_and_else_from_the_bus() -> None:
    """With a door and a key, or a door that asks nobody, no topic is copied; the key is a reference."""
    by_door = _check(render(values_of("everything")))
    assert by_door["command"][3:6] == ["http://acme-stepwire-door:80", "acme.flow:app", "TicketOpened"]
    (key,) = [e for e in by_door["env"] if e["name"] == "DOOR_KEY"]
    assert key["valueFrom"]["secretKeyRef"] == {"name": "acme-test", "key": "door-key"}
    open_ = _check(render(changed("groups", door={"enabled": True, "insecure": True})))
    assert open_["command"][0] == "python"
    from_bus = _check(render(values_of("groups")))
    assert "command" not in from_bus and from_bus["args"][:2] == ["publish", "TicketOpened"]


def test_what_the_tests_publish_has_the_disk_of_a_door() -> None:
    """From the bus it copies the app's topics, so scratch and limit are its own, and fit each other."""
    (pod,) = [one for one in of_kind(render(values_of("groups")), "Pod") if "publish" in one["metadata"]["name"]]
    assert pod["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] == "5Gi"
    assert pod["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] == "5248Mi"
    assert pod["spec"]["activeDeadlineSeconds"] > 180


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    found = Doors(tmp_path)
    yield found
    found.close()


def _run(url: str, data: dict[str, object], key: str) -> subprocess.CompletedProcess[str]:
    _, flag, script, *_ = _check(render(values_of("everything")))["command"]
    words = [sys.executable, flag, script, url, APPS[0], "Order", json.dumps(data)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "DOOR_KEY": key})  # fmt: skip


@pytest.mark.slow
def test_the_pod_passes_with_a_result_and_says_what_else_there_is(doors: Doors, tmp_path: Path) -> None:
    """0 with the run's result; 1 with the gate that it waits for, and with the door's words if the key is none."""
    key, hash_ = new_key()
    access = tmp_path / "access.toml"
    access.write_text(f'[[keys]]\nname = "test"\nhash = "{hash_}"\nroles = {{ shop = ["operator"] }}\n')
    _, url = doors.door("--access", str(access))
    doors.worker()
    done = _run(url, {"n": 7}, key)
    assert (done.returncode, json.loads(done.stdout)["result"]["n"]) == (0, 7), done.stderr
    waits = _run(url, {"n": 500}, key)
    assert waits.returncode == 1 and "waits for a person" in waits.stderr and "approve" in waits.stderr
    refused = _run(url, {"n": 7}, "sw_nobody")
    assert refused.returncode == 1 and "answered 401" in refused.stderr and "no such key" in refused.stderr

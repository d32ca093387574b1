"""A door in front of workers that take signed decisions only: what it refuses, and what it says was decided."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.door.doors import Inside
from tests.door.forgery import forged
from tests.door.shop import APP
from tests.door.test_decisions import ACCESS, by, gate

from stepwire.bus.local import LocalBus
from stepwire.bus.protocol import Out
from stepwire.gate import decision
from stepwire_handlers.configuration import Configuration
from stepwire_handlers.services.console import process as console
from stepwire_handlers.services.door import process as door
from stepwire_handlers.services.said import Said, Told
from stepwire_handlers.services.signing import LATER, UNCHECKED, UNSIGNED, Signing, fingerprint, tell, weakness
from stepwire_handlers.services.timeline import timeline
from stepwire_handlers.services.tools.process import Listening, Terms, serve_http

KEY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
Opened = Callable[..., Any]


def written(inside: Inside) -> int:
    """Records that anybody ever wrote."""
    (count,) = inside.bus.store.db.execute("SELECT count(*) FROM events").fetchone()
    return int(count)


async def waiting(inside: Inside, key: str = KEY) -> tuple[str, str]:
    """A run that waits for a person, on a file whose worker has left what it asks for."""
    run, id_ = await gate(inside, key)
    await tell(inside.bus, APP, key)
    return run, id_


@pytest.mark.parametrize(("key", "says"), [(None, "there is no STEPWIRE_DECISION_KEY here"), (OTHER, "another key")])
async def test_a_door_that_workers_would_not_believe_decides_nothing(
    opened: Opened, capfd: pytest.CaptureFixture[str], key: str | None, says: str
) -> None:
    """409 with the cure, not a record more, no line `decided`; with the workers' key it is decided."""
    async with opened(ACCESS, decision_key=key) as inside:
        run, id_ = await waiting(inside)
        before = written(inside)
        answer = await inside.client.post(f"/gates/{id_}", json={"decision": "approve"}, headers=by("boss"))
        told = answer.json()
        assert (answer.status_code, told["type"]) == (409, "urn:stepwire:problem:decision-key")
        assert says in told["detail"] and "Set STEPWIRE_DECISION_KEY" in told["detail"] and KEY not in told["detail"]
        assert (written(inside), (await inside.get(run, **by("eye")))["said"]) == (before, [])
        assert (
            await inside.client.post(f"/gates/{id_}", json={"decision": "approve"}, headers=by("eye"))
        ).status_code == 403
    assert '"event":"decided"' not in capfd.readouterr().err.replace(": ", ":")
    async with opened(ACCESS, decision_key=KEY) as inside:
        answer = await inside.client.post(f"/gates/{id_}", json={"decision": "approve"}, headers=by("boss"))
        assert answer.status_code == 202
        await inside.work(APP, KEY)
        assert (await inside.get(run, **by("eye")))["result"]["n"] == 500


@pytest.mark.parametrize("key", [KEY, OTHER, f"{KEY}\n{OTHER}", f"{OTHER}\n{KEY}"])
async def test_a_key_takes_anothers_place_and_nobody_is_refused(opened: Opened, key: str) -> None:
    """Workers with both keys take what a door signs with either; a door with both shows what either signed as true."""
    both = f"{OTHER}\n{KEY}"
    async with opened(ACCESS, decision_key=key) as inside:
        run, id_ = await waiting(inside, both)
        answer = await inside.client.post(f"/gates/{id_}", json={"decision": "approve"}, headers=by("boss"))
        assert answer.status_code == 202, answer.text
        await inside.work(APP, both)
        assert (await inside.get(run, **by("eye")))["result"]["n"] == 500
    async with opened(ACCESS, decision_key=both) as inside:
        assert [said["doubt"] for said in (await inside.get(run, **by("eye")))["said"]] == [""]
    async with opened(ACCESS, decision_key=OTHER * 2) as inside:
        (told,) = (await inside.get(run, **by("eye")))["said"]
        assert told["doubt"] == UNCHECKED


async def test_a_door_with_a_key_serves_workers_without(opened: Opened) -> None:
    """They take everything; one of them that starts takes the mark away."""
    async with opened(ACCESS, decision_key=KEY) as inside:
        await waiting(inside, OTHER)
        _, id_ = await waiting(inside, "")
        answer = await inside.client.post(f"/gates/{id_}", json={"decision": "approve"}, headers=by("boss"))
        assert answer.status_code == 202


SERVERS = {
    "door": lambda apps, values, say: door.serve(apps, values, None, "127.0.0.1", 0, 0, say),
    "console": lambda apps, values, say: console.serve(apps, values, None, "127.0.0.1", 0, b"", say),
    "mcp": lambda apps, values, say: serve_http(
        apps, values, Terms(1.0, "", 0), Listening("127.0.0.1", 0, (), None), say
    ),
}


@pytest.mark.parametrize("name", SERVERS)
async def test_who_lets_people_decide_says_in_its_log_that_it_cannot(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, before anybody tries, and once that it can again; an MCP server, where nobody decides, says nothing."""
    monkeypatch.setattr("stepwire_handlers.services.door.releases.LOOK", 0.01)
    lines: list[str] = []
    values = Configuration(bus=f"sqlite:///{tmp_path / 'bus.db'}", log="json")
    async with AsyncExitStack() as stack:
        bus = LocalBus(str(tmp_path / "bus.db"))
        await bus.open()
        stack.push_async_callback(bus.close)
        await tell(bus, APP, KEY)
        await bus.remember("shop", {"shop.of_another_release": ["x"]})
        serving = asyncio.create_task(SERVERS[name]([(APP, bus)], values, lambda _: None))
        stack.push_async_callback(asyncio.wait, {serving})
        stack.callback(serving.cancel)

        async def said(what: str) -> None:
            async with asyncio.timeout(10):
                while not any(what in line for line in lines):
                    await asyncio.sleep(0.01)
                    lines.extend(json.loads(line)["event"] for line in capfd.readouterr().err.splitlines())

        await said("another release")
        if name != "mcp":
            await said("cannot be decided")
            await tell(bus, APP, "")
            await said("decided by this process again")
    about = [line.partition(":")[0] for line in lines if line.startswith("gates of shop")]
    both = [
        "gates of shop cannot be decided by this process", "gates of shop can be decided by this process again",
    ]  # fmt: skip
    assert about == ([] if name == "mcp" else both)


async def test_a_forged_decision_is_shown_as_what_it_is(opened: Opened) -> None:
    """With the key and without, before the true one and after it: a claim, and only the true one counts."""
    async with opened(ACCESS) as keyless, opened(ACCESS, decision_key=KEY) as keyed:
        run, id_ = await waiting(keyed)
        name = run.rpartition("/")[2]
        await keyed.bus.publish(forged("shop", "approve", name, id_))
        await keyed.work(APP, KEY)
        for door in (keyed, keyless):
            seen = await door.get(run, **by("eye"))
            (told,) = seen["said"]
            assert (seen["state"], told["counts"], told["doubt"]) == ("waiting", False, UNSIGNED)
        answer = await keyed.client.post(f"/gates/{id_}", json={"decision": "decline"}, headers=by("boss"))
        assert answer.status_code == 202
        await keyed.work(APP, KEY)
        await keyed.bus.publish(forged("shop", "approve", name, id_, by="key:crm"))
        seen = await keyed.get(run, **by("eye"))
        assert [(told["decision"], told["counts"]) for told in seen["said"]] == [
            ("approve", False), ("decline", True), ("approve", False),
        ]  # fmt: skip
        assert (seen["state"], seen["result"]) == ("completed", None)
        unsure = [told["doubt"] for told in (await keyless.get(run, **by("eye")))["said"]]
        assert unsure == [UNSIGNED, UNCHECKED, UNSIGNED]


async def test_a_proof_fits_one_run_and_one_word(opened: Opened) -> None:
    """A true record that is written again, into another run, or with another word in it, proves nothing more."""
    async with opened(ACCESS, decision_key=KEY) as inside:
        run, id_ = await waiting(inside)
        other, other_id = (await inside.order(600, **by("crm"))).headers["location"], ""
        await inside.work(APP, KEY)
        await inside.client.post(f"/gates/{id_}", json={"decision": "decline"}, headers=by("boss"))
        await inside.work(APP, KEY)
        (true,) = [record for record in inside.door.places["shop"].history.of_run(run.rpartition("/")[2])
                   if record.topic == "shop.runs" and b'"said":{' in record.value]  # fmt: skip
        (other_id,) = [each["id"] for each in (await inside.get("/gates", **by("eye")))["gates"]]
        there = true.value.replace(run.rpartition("/")[2].encode(), other.rpartition("/")[2].encode())
        for value, name in (
            (true.value, run), (true.value.replace(b'"decline"', b'"approve"'), run),
            (there.replace(id_.encode(), other_id.encode()), other),
        ):  # fmt: skip
            headers = {"ce_swrun": name.rpartition("/")[2]}
            await inside.bus.publish([Out("shop.runs", name.rpartition("/")[2], headers, value)])
        told = [(each["decision"], each["doubt"]) for each in (await inside.get(run, **by("eye")))["said"]]
        assert told == [("decline", ""), ("decline", LATER), ("approve", UNSIGNED)]
        (claimed,) = (await inside.get(other, **by("eye")))["said"]
        assert claimed["doubt"] == UNSIGNED


@pytest.mark.parametrize("key", [None, KEY])
async def test_of_two_who_decide_on_two_machines_the_first_counts(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """Whoever was overtaken takes their word back: the run tells of one decision, and of one that came too late."""
    async with opened(ACCESS, decision_key=key) as inside:
        run, id_ = await gate(inside, key or "")
        bus = inside.door.places["shop"].bus
        publish = bus.publish
        first = [
            Out(
                "shop.approve.control",
                id_,
                {},
                decision(id_, approved=True, by="ann", sent=1.0, key=key or "").encode(),
            )
        ]

        async def late(outputs: Sequence[Out]) -> Any:
            while first:
                await publish([first.pop()])
            return await publish(outputs)

        monkeypatch.setattr(bus, "publish", late)
        answer = await inside.client.post(f"/gates/{id_}", json={"decision": "decline"}, headers=by("boss"))
        assert answer.status_code == 409
        await inside.work(APP, key or "")
        seen = await inside.get(run, **by("eye"))
        assert (seen["result"]["n"], [each["doubt"] for each in seen["said"]]) == (500, [LATER])


async def test_a_claim_makes_no_step_and_no_page_fail(opened: Opened) -> None:
    """Of a gate that there never was, or of which no field is what it should be."""
    async with opened(ACCESS, decision_key=KEY) as inside:
        run, id_ = await waiting(inside)
        name = run.rpartition("/")[2]
        await inside.bus.publish(forged("shop", "approve", name, "f" * 32))
        for said in (b'{"by":5,"more":1}', b'{"edited":[1]}'):
            value = b'{"run":"","delivery":"","handler":"","why":"said","joins":[],"said":' + said + b"}"
            await inside.bus.publish([Out("shop.runs", name, {"ce_swrun": name}, value)])
        seen = await inside.get(run, **by("eye"))
        assert [each["counts"] for each in seen["said"]] == [False] * 3
        steps = timeline(inside.door.places["shop"].runs.view(name))
        assert "f" * 32 not in [step.id for step in steps] and [step.said for step in steps if step.id == id_] == [[]]


def test_a_fingerprint_tells_keys_apart_and_nothing_else() -> None:
    """Another one for each key and app; not the key, and slow enough that trying keys by it is no short cut."""
    found = {fingerprint(key, app) for key in (KEY, OTHER) for app in ("shop", "market")}
    assert len(found) == 4 and all(len(text) == 32 and KEY not in text for text in found)
    assert fingerprint(KEY, "shop") in found


@pytest.mark.parametrize(("key", "weak"), [
    ("", False), ("hunter2", True), (KEY[:-1], True), (KEY, False),
    (f"{KEY}\nhunter2", True), (f"{KEY}\n\n{OTHER}", False),
])  # fmt: skip
def test_a_short_key_is_told_off(key: str, weak: bool) -> None:
    """Below 32 characters, with the command that makes one, and without the key."""
    said = weakness(key)
    assert bool(said) is weak
    assert not weak or ("openssl rand -hex 32" in said and key not in said)


def test_of_a_gate_that_asked_anew_the_answer_to_its_last_question_counts(tmp_path: Path) -> None:
    """A decision that came too late for the first question is no answer to the next one."""
    signing = Signing("shop", LocalBus(str(tmp_path / "bus.db")), "")

    def said(*decisions: str) -> list[str]:
        """Each with the number of the replay that it answers."""
        split = [each.partition(" ") for each in decisions]
        words = [
            Told(Said("approve", "g1", what, "ann"), each, of=of)
            for each, (what, _, of) in zip(decisions, split, strict=True)
        ]
        return [each.doubt for each in signing.counted(words, {("approve", "g1")})]

    assert said("decline", "replay", "approve 1") == [LATER, "", ""]
    assert said("decline", "replay", "approve 1", "decline 1") == [LATER, "", "", LATER]
    assert said("replay", "approve 1", "decline 1") == ["", "", LATER]
    assert said("decline", "replay", "approve 1", "replay", "decline 2") == [LATER, "", LATER, "", ""]
    assert said("approve", "replay") == ["", ""]

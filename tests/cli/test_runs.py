"""`stepwire runs`: list, show, watch."""

from __future__ import annotations

import json

import pytest
from tests.cli.shell import APP, Shell, ended, until


def test_runs_are_listed_newest_first_by_state(shell: Shell) -> None:
    """Every run of the app with its state; a state, a number and a time choose among them."""
    runs = {n: shell.order(n) for n in (1, 500, -1)}
    shell.work()
    runs[2] = shell.order(2)
    found = shell("runs", "list", "--json", schema="runs-list").data
    assert [(run["run"], run["state"]) for run in found] == [
        (runs[2], "running"), (runs[-1], "failed"), (runs[500], "waiting"), (runs[1], "completed")
    ]  # fmt: skip
    for state, n in (("running", 2), ("failed", -1), ("waiting", 500), ("completed", 1)):
        chosen = shell("runs", "list", "--state", state, "--json", schema="runs-list").data
        assert [run["run"] for run in chosen] == [runs[n]]
    assert len(shell("runs", "list", "--limit", "2", "--json").data) == 2
    assert len(shell("runs", "list", "--since", "1h", "--json").data) == 4
    assert shell("runs", "list", "--since", "2999-01-01", "--json", schema="runs-list").data == []
    assert "gate: approve" in shell("runs", "list").out


def test_a_run_is_shown_step_by_step(shell: Shell) -> None:
    """What each step took and made, its time, what it stamped, and what is open."""
    run = shell.order(500)
    shell.work()
    seen = shell.seen(run[:8])
    steps = [(step["handler"], step["outcome"]) for step in seen["steps"]]
    assert steps == [(None, "published"), ("check", "emitted"), ("approve", "gate")]
    checked = seen["steps"][1]
    assert [event["type"] for event in checked["inputs"] + checked["outputs"]] == ["Order", "Big"]
    assert checked["seconds"] >= 0
    assert checked["stamps"] == {"prompt": "check.md@3"}
    (gate,) = seen["open"]
    assert gate["kind"] == "gate"
    assert gate["due"] > gate["since"]
    said = shell("runs", "show", run)
    assert [line.split()[2:5] for line in said.out.splitlines() if line.startswith(" +")] == [
        ["published", "Order", "n=500"], ["check", "emitted", f"{checked['seconds']:.3f}"], ["approve", "gate", "due"],
    ]  # fmt: skip
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert "Big n=500" in said.out and "prompt=check.md@3" in said.out and "2 events in" in said.out
    assert "open: gate of approve" in said.err


def test_who_decided_a_gate_is_told_with_the_run(shell: Shell) -> None:
    """By whom, what they changed and their remark; what is sensitive is masked, also where the remark quotes it."""
    run = shell("publish", "Order", "--json-data", '{"n": 500, "card": "4111 1111"}').out.strip()
    other = shell.order(600)
    shell.work()
    gates = {gate["run"]: gate["id"] for gate in shell("gates", "list", "--json").data}
    edit = '{"n": 7, "card": "4222 2222"}'
    why = "not 4111 1111, thanks"
    shell("gates", "decide", gates[run], "--approve", "--edit", edit, "--why", why, "--by", "ann")
    shell("gates", "decide", gates[other], "--decline", "--why", "too dear", "--by", "bob")
    shell.work()
    step = next(step for step in shell.seen(run)["steps"] if step["handler"] == "approve")
    (said,) = step["said"]
    assert said.pop("time") > 0
    assert said == {
        "handler": "approve", "id": gates[run], "decision": "approve", "by": "ann", "why": "not ***, thanks",
        "edited": {"n": 7, "card": "***"}, "counts": True, "doubt": "",
    }  # fmt: skip
    assert step["outcome"] == "emitted"
    shown = shell("runs", "show", run)
    assert 'approved by ann, edited n=7 card=***, "not ***, thanks"' in shown.out
    assert "4111" not in shown.out and "4222" not in shown.out
    assert 'declined by bob, "too dear"' in shell("runs", "show", other).out
    assert shell.seen(other)["state"] == "completed"


def test_a_run_that_no_worker_carries_on_says_so(shell: Shell) -> None:
    """With the command that starts one, and for which steps; while a worker runs, nothing. States stay as they are."""
    run = shell.order(1)
    for command in (["runs", "show", run], ["runs", "list"], ["runs", "show", run, "--json"]):
        last = shell(*command).err.splitlines()[-1]
        assert last == "no worker runs check, so nothing goes on there; start one: stepwire run market:app"
    assert not (shell.folder / "bus.db.locks" / "market.check").exists()
    there = f"sqlite:///{shell.path}"
    assert f"stepwire run market:app --bus {there}" in shell("runs", "show", run, "--bus", there).err
    assert shell.seen(run)["state"] == "running"
    worker = shell.begin("run", APP, "--only", "finish")
    until(lambda: shell("groups", "list", APP, "--json").data[2]["members"], "the seat of finish")
    assert "no worker runs check," in shell("runs", "show", run).err
    worker.terminate()
    ended(worker)
    held = shell.order(2)
    with shell.busy("check"):
        assert shell("runs", "list").err == ""
        assert "no worker" not in shell("runs", "show", held).err
    shell.work()
    assert shell("runs", "list").err == ""


def test_a_step_that_was_tried_again_says_how_often_and_what_failed(shell: Shell) -> None:
    """Also one that emits nothing; what is sensitive is masked. Of a replayed one: what it was replayed for."""
    run = shell("publish", "Busy", "--json-data", '{"card": "4111 1111"}').out.strip()
    shell.work()
    (step,) = [step for step in shell.seen(run)["steps"] if step["handler"]]
    assert (step["outcome"], step["attempts"]) == ("ended", 3)
    assert step["last_error"] == "ConnectionError: nobody answered ***\nat all, 2"
    shown = shell("runs", "show", run).out
    assert "3 attempts" in shown
    assert "  after ConnectionError: nobody answered *** at all, 2\n" in shown
    refused = shell.order(-1)
    shell.work()
    (letter,) = shell("dlq", "list", "--json").data
    shell("dlq", "replay", letter["id"], "--edit", '{"n": 1}')
    shell.work()
    step = next(step for step in shell.seen(refused)["steps"] if step["handler"] == "check")
    assert (step["outcome"], step["attempts"]) == ("emitted", 1)
    assert step["last_error"] == "Reject: a negative order"
    assert "after Reject: a negative order" in shell("runs", "show", refused).out


def test_what_a_dead_letter_holds_up_is_shown(shell: Shell) -> None:
    """The failed step with its attempts and cause, and the join that waits for it."""
    shell("publish", "Left", "--json-data", '{"number": "7"}')
    run = shell("publish", "Right", "--json-data", '{"number": "7", "bad": true}').out.strip()
    shell.work()
    seen = shell.seen(run)
    assert seen["state"] == "failed"
    dead = next(step for step in seen["steps"] if step["handler"] == "weigh")
    assert (dead["outcome"], dead["attempts"], dead["about"]) == ("dead letter", 1, "Reject: a bad weight")
    join = next(item for item in seen["open"] if item["handler"] == "pair")
    assert join["kind"] == "join"
    assert "blocked by market/weigh/" in join["about"]


def test_sensitive_fields_are_masked_wherever_a_run_is_shown(shell: Shell) -> None:
    """Neither the table nor the data shows them."""
    run = shell("publish", "Order", "--json-data", '{"n": 500, "card": "4111 1111"}').out.strip()
    shell.work()
    gate = shell("gates", "list", "--json", schema="gates-list").data[0]["id"]
    for arguments in (["runs", "show", run], ["runs", "show", run, "--json"], ["gates", "show", gate]):
        said = shell(*arguments)
        assert "4111" not in said.out + said.err
        assert "***" in said.out


def test_what_is_copied_is_whole_at_eighty_columns(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and times in every table, and each step of a run on one line."""
    from rich.console import Console

    shell("publish", "Charge", "--json-data", '{"amount": 7}')
    run = shell.order(500)
    shell.order(-1)
    shell.work()
    ids = {group: [x["id"] for x in shell(group, "list", "--json").data] for group in ("gates", "dlq")}
    ids["runs"] = [x["run"] for x in shell("runs", "list", "--json").data]
    monkeypatch.setattr("stepwire_handlers.cli.output.console", lambda: Console(width=80))
    for group, whole in ids.items():
        said = shell(group, "list").out
        assert whole and all(each[:12] in said for each in whole)
        assert max(map(len, said.splitlines())) <= 80
    assert max(map(len, shell("runs", "show", run).out.splitlines())) <= 80


def test_a_secret_that_an_exception_quotes_is_masked_everywhere(shell: Shell) -> None:
    """The cause of a dead letter and of an unknown outcome; `dlq show --raw` is the one that shows it."""
    card = "4111-2222-3333-4444"
    data = json.dumps({"card": card})
    run = shell("publish", "Loud", "--json-data", data, "--id", "a").out.strip()
    shell.work()
    (letter,) = shell("dlq", "list", "--json", schema="dlq-list").data
    (gate,) = shell("gates", "list", "--json", schema="gates-list").data
    waiting = shell("publish", "Loud", "--json-data", data, "--id", "a", "--wait", "1", "--json", code=3)
    assert waiting.data["dead_letter"]["message"] == "no such card: ***"
    for arguments in (
        ["dlq", "list"], ["dlq", "list", "--json"], ["dlq", "show", letter["id"]],
        ["dlq", "show", letter["id"], "--json"], ["dlq", "stats"], ["gates", "list"],
        ["gates", "list", "--json"], ["gates", "show", gate["id"]],
        ["gates", "show", gate["id"], "--json"], ["runs", "list"], ["runs", "list", "--json"], ["runs", "show", run],
        ["runs", "show", run, "--json"],
    ):  # fmt: skip
        said = shell(*arguments)
        assert card not in said.out + said.err, arguments
    watched = shell("runs", "watch", run, "--timeout", "0.1", code=5)
    assert card not in waiting.out + waiting.err + watched.out + watched.err
    assert card in shell("dlq", "show", letter["id"], "--raw").out


def test_watch_shows_steps_as_they_happen_until_the_run_is_closed(shell: Shell) -> None:
    """A gate keeps it watching; the decision of another shell lets it end, with exit 0."""
    run = shell.order(500)
    shell.work()
    watching = shell.begin("runs", "watch", run)
    assert watching.stdout is not None
    lines = iter(watching.stdout.readline, "")
    assert any("waiting" in line for line in lines)
    (gate,) = shell("gates", "list", "--json").data
    shell("gates", "decide", gate["id"], "--approve")
    shell.work()
    said = ended(watching)
    assert "finish" in said.out
    assert said.out.rstrip().endswith("completed")


@pytest.mark.parametrize(("n", "code"), [(1, 0), (-1, 4), (500, 5)])
def test_watch_exits_by_how_the_run_stands(shell: Shell, n: int, code: int) -> None:
    """0 completed, 4 failed, 5 time is up."""
    run = shell.order(n)
    shell.work()
    shell("runs", "watch", run, "--timeout", "0", code=code)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["list", "--state", "bad"], 2, "there are running, waiting, completed, failed"),
        (["list", "--since", "yesterday"], 2, "--since yesterday"),
        (["list", "--since", "nand"], 2, "--since nand"),
        (["list", "--limit", "0"], 2, ""),
        (["show", "feed"], 1, "no run begins with 'feed'"),
        (["watch", "feed"], 1, "no run begins with 'feed'"),
    ],
)
def test_a_mistake_is_one_message(shell: Shell, arguments: list[str], code: int, says: str) -> None:
    """2 for what makes no sense, 1 for what is not there."""
    shell.order(1)
    assert says in shell("runs", *arguments, code=code).err

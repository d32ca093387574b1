"""What is said of workers that ended."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.watch import Watch


def pod(name: str, over: str = "", grace: int = 0, code: int | None = None) -> dict[str, Any]:
    """As the cluster shows it."""
    deleted = {"deletionTimestamp": over, "deletionGracePeriodSeconds": grace} if over else {}
    state = {} if code is None else {"terminated": {"exitCode": code, "finishedAt": "2026-01-01T00:00:07Z"}}
    return {"metadata": {"name": name, **deleted}, "status": {"containerStatuses": [{"state": state}]}}


def test_a_worker_that_was_cut_off_shows() -> None:
    """Told to end and ended with 0 is in order; killed, or never seen to end, is not; what was forced counts not."""
    watch = Watch([], "")
    for seen in (
        pod("works"),
        pod("drained", "2026-01-01T00:00:35Z", 35),
        pod("drained", "2026-01-01T00:00:08Z", 0, code=0),  # its last breath
        pod("cut", "2026-01-01T00:00:35Z", 35, code=137),
        pod("vanished", "2026-01-01T00:00:35Z", 35),
    ):
        watch.see(seen)
    watch.forced.add("forced")
    watch.see(pod("forced", "2026-01-01T00:00:01Z", 0))
    assert watch.ended() == {"drained": 0, "cut": 137, "vanished": None}
    assert watch.cut() == {"cut": 137, "vanished": None}
    assert watch.longest() == 7.0

"""A message whose run no encoding holds: the group goes round for ever."""
import asyncio, sys, json
sys.path.insert(0, ".")
from tests.faults.test_foreign_message import APP, ADDRESS, Start
from stepwire.bus.protocol import Out
from stepwire.bus.local import LocalBus
from stepwire.clock import VirtualClock
from stepwire.worker import Worker
FIELD = sys.argv[1] if len(sys.argv) > 1 else "run"
async def main():
    clock = VirtualClock(1_000_000.0)
    bus = LocalBus(":memory:", clock=clock); await bus.open()
    facts = []
    w = Worker(APP, bus, clock=clock, telemetry=facts.append); await w.start()
    await asyncio.sleep(.1)
    meta = {"kind": "open", **ADDRESS, "slot": "#open", "size": 2, "at": 5.0, FIELD: "\ud800"}
    await bus.publish([Out("x.collect.control", "k", {}, b"1" + json.dumps(meta).encode() + b"\n\n")])
    await asyncio.sleep(6)
    d = [d for d in w.dispatchers if d.step.name == "collect"][0]
    print("trouble:", d.committer.trouble, "| times assigned:", sum(type(f).__name__ == "Assigned" and f.kind=="lost" for f in facts if "collect" in str(f)))
    for t in w._loops: print(t.done(), end=" ")
asyncio.run(asyncio.wait_for(main(), 30))

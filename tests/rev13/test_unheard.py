"""What was said in time to a worker that was not there."""
from __future__ import annotations
import time
from tests.properties.life import Life
from stepwire import App, Event, Join, handler
from stepwire.bus.protocol import Partition

class A(Event, topic="zz.a", entry=True, run="n"):
    n: int
class B(Event, topic="zz.b", entry=True, run="n"):
    n: int
class C(Event, topic="c", terminal=True):
    n: int

@handler(join=Join(timeout=3600))
async def meet(a: A, b: B) -> C: return C(n=a.n)

async def test_a_part_that_lies_unread_on_its_own_topic_since_before_the_deadline() -> None:
    """It came in time; the worker that comes back after the deadline reads it before the join expires."""
    app = App("x", [meet])
    async with Life(app) as life:
        await life.publish(A(n=1)); await life.settle()
        await life.kill()
        await life.publish(B(n=1))
        life.clock.turn(life.clock.now() + 7200)
        await life.start(app); await life.settle()
        assert await life.dead("meet") == []
        assert len(await life.events(C)) == 1

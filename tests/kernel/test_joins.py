"""Merges, gathers, optional slots and what settles them, each through a whole run in memory."""

from __future__ import annotations

from stepwire import App, Decision, Event, Join, Reject, agreed, handler
from stepwire.dispatch.step import join_rules
from stepwire.join import JoinState, judge


class Order(Event, topic="order"):
    n: int = 0


class Price(Event, topic="price"):
    n: int


class Stock(Event, topic="stock"):
    n: int


class Offer(Event, topic="offer", result=True):
    n: int
    note: str = ""


class Item(Event, topic="item"):
    n: int


class Checked(Event, topic="checked"):
    n: int


class Total(Event, topic="total", terminal=True):
    items: list[int]


@handler()
async def split(order: Order) -> tuple[Price, Stock]:
    return Price(n=order.n), Stock(n=order.n + 1)


async def test_a_merge_fires_once_with_both_parts() -> None:
    """A merge waits until one of each has arrived and is called once."""
    calls = []

    @handler()
    async def offer(price: Price, stock: Stock) -> Offer:
        calls.append((price.n, stock.n))
        return Offer(n=price.n + stock.n)

    async with await App("shop", [split, offer]).run(Order(n=3)) as run:
        assert run.state == "completed"
        assert run.result == Offer(n=7)
        assert calls == [(3, 4)]


async def test_a_part_that_never_comes_ends_the_merge() -> None:
    """When the path to a part ends, the merge ends uncalled and the run closes."""

    @handler()
    async def drop(stock: Stock) -> Checked | None:
        return None

    @handler()
    async def offer(price: Price, checked: Checked) -> Offer:
        return Offer(n=0)

    async with await App("shop", [split, drop, offer]).run(Order()) as run:
        assert run.state == "completed"
        assert run.result is None


class Claim(Event, topic="claims", run="number"):
    number: str


class Receipt(Event, topic="receipts", run="number"):
    number: str


class Approved(Event, topic="approved"):
    number: str


class Declined(Event, topic="declined", result=True):
    number: str


async def test_a_merge_that_can_no_longer_fire_waits_for_no_publisher() -> None:
    """Once a part is known not to come, an event that only a publisher could send, or may never, is not waited for."""
    calls = []

    @handler()
    async def approve(asked: Decision[Claim]) -> Approved | Declined:
        return (Approved if asked.approved else Declined)(number=asked.final.number)

    @handler(join=Join(timeout=120))
    async def pay(approved: Approved, receipt: Receipt) -> Offer:
        calls.append(receipt.number)
        return Offer(n=1)

    app = App("claims", [approve, pay])
    for before in (False, True):
        async with await app.run(Claim(number="1")) as run:
            if before:
                await run.publish(Receipt(number="1"))
            await run.decide(approved=False)
            assert (run.state, run.result, run.waiting) == ("completed", Declined(number="1"), 0)
            if not before:
                await run.publish(Receipt(number="1"))
            await run.advance(130)
            assert (run.state, run.dead_letters, calls) == ("completed", [], [])
    async with await app.run(Claim(number="1")) as run:
        await run.decide(approved=True)
        assert run.state == "waiting"
        await run.publish(Receipt(number="1"))
        assert (run.state, calls) == ("completed", ["1"])


class Upload(Event, topic="uploads", run="number"):
    number: str


async def test_nor_for_what_a_step_makes_of_what_only_a_publisher_could_send() -> None:
    """Until the other published event is there, nobody says whether its part comes; then its path says so itself."""

    @handler()
    async def approve(asked: Decision[Claim]) -> Approved | Declined:
        return (Approved if asked.approved else Declined)(number=asked.final.number)

    @handler()
    async def scan(upload: Upload) -> Receipt:
        return Receipt(number=upload.number)

    @handler(join=Join(timeout=120))
    async def pay(approved: Approved, receipt: Receipt) -> Offer:
        return Offer(n=1)

    app = App("claims", [approve, scan, pay])
    async with await app.run(Claim(number="1")) as run:
        await run.decide(approved=False)
        assert (run.state, run.waiting) == ("completed", 0)
        await run.publish(Upload(number="1"))
        await run.advance(130)
        assert (run.state, run.dead_letters) == ("completed", [])


def test_a_merge_that_expired_in_vain_in_an_older_release_ends_when_it_is_replayed() -> None:
    """Its dead letter said what was missing: replayed, it waits for that no more, and makes no other one."""

    @handler(join=Join(timeout=120))
    async def pay(approved: Approved, receipt: Receipt) -> Offer:
        return Offer(n=1)

    app = App("claims", [pay])
    rules = join_rules(pay, app.settings, app.wiring)
    join = JoinState("id", opened=1.0, call={"kind": "call", "replay": 1, "attempt": 1, "since": 400.0})
    assert judge(join, rules, 500.0) == "wait"
    assert judge(join, rules, 521.0) == "expired"
    join.absent.add("approved")
    assert judge(join, rules, 500.0) == "end"


async def test_a_replay_of_an_older_release_calls_nothing_without_what_it_needs() -> None:
    """A worker of that release was killed between the replay and the dead letter that it came to at once."""
    app = App("grants", [grant])
    rules = join_rules(grant, app.settings, app.wiring)
    join = JoinState("id", opened=1.0, call={"kind": "call", "replay": 1, "attempt": 1})
    join.slots["asked"] = b""
    assert judge(join, rules, 4_000.0) == "expired"


async def test_a_merge_that_waits_anew_waits_for_the_replay_of_what_it_lacks() -> None:
    """The missing part's own step failed after the merge had expired: its deadline is suspended, as it always is."""

    class Raw(Event, topic="raw", run="po"):
        po: str

    class Side(Event, topic="side", run="po"):
        po: str

    class Fine(Event, topic="fine"):
        po: str

    class Both(Event, topic="both", result=True):
        po: str

    broken = [True]

    @handler()
    async def refine(raw: Raw) -> Fine:
        if broken:
            raise Reject("no")
        return Fine(po=raw.po)

    @handler(join=Join(timeout=60))
    async def meet(side: Side, fine: Fine) -> Both:
        return Both(po=side.po)

    async with await App("late", [refine, meet]).run(Side(po="7")) as run:
        await run.advance(61)
        await run.publish(Raw(po="7"))
        expired, failed = run.dead_letters
        assert (expired.error, failed.error) == ("JoinExpired", "Reject")
        await run.replay(expired)
        await run.advance(3_600)
        assert [dead.error for dead in run.dead_letters] == ["Reject"]
        broken.clear()
        await run.replay(failed)
        assert (run.state, run.result) == ("completed", Both(po="7"))


async def test_an_optional_part_may_be_absent() -> None:
    """A merge with an optional slot is called with None once that slot is known not to come."""

    @handler()
    async def drop(stock: Stock) -> Checked | None:
        return None

    @handler()
    async def offer(price: Price, checked: Checked | None) -> Offer:
        return Offer(n=price.n, note="without" if checked is None else "with")

    async with await App("shop", [split, drop, offer]).run(Order(n=2)) as run:
        assert run.result == Offer(n=2, note="without")


def scatter_app(join: Join | None = None, size: int = 5) -> App:
    @handler()
    async def scatter(order: Order) -> list[Item]:
        return [Item(n=i) for i in range(size)]

    @handler()
    async def check(item: Item) -> Checked | None:
        if item.n == order_of_rejection:
            raise Reject("broken item")
        return Checked(n=item.n) if item.n % 2 == 0 else None

    @handler(join=join)
    async def total(checked: list[Checked]) -> Total:
        return Total(items=[c.n for c in checked])

    order_of_rejection = 4
    return App("count", [scatter, check, total])


async def test_a_gather_waits_for_a_dead_letter_and_one_drop_heals_the_run() -> None:
    """A gather that needs a dead-lettered item is blocked, not fired; dropping that item completes the run."""
    async with await scatter_app().run(Order()) as run:
        assert run.state == "failed"
        assert [dead.error for dead in run.dead_letters] == ["Reject"]
        await run.drop(run.dead_letters[0])
        assert run.state == "completed"
        assert Total(items=[0, 2]) in run.events


async def test_a_gather_may_go_without_what_is_missing() -> None:
    """With on_missing="partial" a dead letter counts as missing and the gather fires."""
    async with await scatter_app(Join(on_missing="partial")).run(Order()) as run:
        assert Total(items=[0, 2]) in run.events


async def test_an_empty_scatter_is_a_call_with_an_empty_list() -> None:
    """A scatter of size 0 completes its gather at once."""
    async with await scatter_app(size=0).run(Order()) as run:
        assert run.state == "completed"
        assert Total(items=[]) in run.events


async def test_items_arrive_in_the_order_of_the_scatter() -> None:
    """The list a gather gets is in the scatter's order, whatever order its items finished in."""
    async with await scatter_app(size=4).run(Order()) as run:
        assert Total(items=[0, 2]) in run.events


async def test_a_vote_closes_as_soon_as_enough_agree() -> None:
    """`until` closes a gather early; what comes later settles its stub and the run still closes."""

    @handler()
    async def scatter(order: Order) -> list[Item]:
        return [Item(n=1) for _ in range(5)]

    @handler()
    async def judge(item: Item) -> Checked:
        return Checked(n=item.n)

    @handler(join=Join(until=agreed(3, by=lambda c: c.n)))
    async def total(checked: list[Checked]) -> Total:
        return Total(items=[c.n for c in checked])

    async with await App("vote", [scatter, judge, total]).run(Order()) as run:
        totals = [event for event in run.events if isinstance(event, Total)]
        assert len(totals) == 1
        assert len(totals[0].items) >= 3
        assert run.state == "completed"


async def test_a_merge_of_published_events_meets_by_a_field() -> None:
    """Two upstream events that name the same order number are one run and one merge."""

    class Invoice(Event, topic="invoice", run="po"):
        po: str

    class Receipt(Event, topic="receipt", run="po"):
        po: str

    class Matched(Event, topic="matched", result=True):
        po: str

    @handler(join=Join(timeout=3600))
    async def match(invoice: Invoice, receipt: Receipt) -> Matched:
        return Matched(po=invoice.po)

    async with await App("match", [match]).run(Invoice(po="7"), Receipt(po="7")) as run:
        assert run.result == Matched(po="7")


async def test_a_join_that_expires_keeps_its_parts_for_the_replay() -> None:
    """At its deadline a join is a dead letter; a part that comes later joins its parts, and a replay uses them."""

    class Invoice(Event, topic="invoice", run="po"):
        po: str

    class Receipt(Event, topic="receipt", run="po"):
        po: str

    class Matched(Event, topic="matched", result=True):
        po: str

    @handler(join=Join(timeout=3600))
    async def match(invoice: Invoice, receipt: Receipt) -> Matched:
        return Matched(po=invoice.po)

    async with await App("match", [match]).run(Invoice(po="7")) as run:
        assert run.state == "waiting"
        await run.advance(3601)
        assert [dead.error for dead in run.dead_letters] == ["JoinExpired"]
        await run.publish(Receipt(po="7"))
        await run.replay(run.dead_letters[0])
        assert run.result == Matched(po="7")
        assert run.state == "completed"


class Asked(Event, topic="asked", entry=True):
    n: int


class Granted(Event, topic="granted", result=True):
    n: int


@handler(join=Join(timeout=3600))
async def grant(asked: Decision[Asked]) -> Granted | None:
    return Granted(n=asked.final.n) if asked.approved else None


async def test_a_gate_that_expired_asks_anew_when_it_is_replayed() -> None:
    """A person has the whole time again; if that passes too, it is a dead letter again, which can be replayed again."""
    async with await App("grants", [grant]).run(Asked(n=7)) as run:
        for number in (0, 1):
            await run.advance(3_599)
            assert (run.state, len(run.gates)) == ("waiting", 1)
            await run.advance(2)
            (dead,) = run.dead_letters
            assert (run.state, dead.error, dead.record.headers["sw_replay"]) == ("failed", "JoinExpired", str(number))
            await run.replay(dead)
        assert (run.state, len(run.gates), run.dead_letters) == ("waiting", 1, [])
        await run.decide(edited=Asked(n=8))
        assert (run.state, run.result) == ("completed", Granted(n=8))


async def test_a_gate_that_asks_anew_is_dropped_or_declined_as_at_first() -> None:
    """It ends as if nobody had been asked before; what is said twice counts once."""
    for answer in ("drop", "decline"):
        async with await App("grants", [grant]).run(Asked(n=7)) as run:
            await run.advance(3_601)
            if answer == "drop":
                await run.drop(run.dead_letters[0])
            else:
                await run.replay(run.dead_letters[0])
                await run.decide(approved=False)
            await run.advance(3_601)
            assert (run.state, run.result, run.gates, run.dead_letters) == ("completed", None, [], [])


async def test_a_merge_that_expired_waits_once_more_when_it_is_replayed() -> None:
    """For what is missing; it is called when that comes, whoever looked too early."""

    class First(Event, topic="first", run="po"):
        po: str

    class Second(Event, topic="second", run="po"):
        po: str

    class Both(Event, topic="both", result=True):
        po: str

    @handler(join=Join(timeout=3600))
    async def meet(first: First, second: Second) -> Both:
        return Both(po=first.po + second.po)

    async with await App("meet", [meet]).run(First(po="7")) as run:
        await run.advance(3_601)
        await run.replay(run.dead_letters[0])
        assert (run.state, run.dead_letters) == ("waiting", [])
        await run.advance(3_000)
        await run.publish(Second(po="7"))
        assert (run.state, run.result) == ("completed", Both(po="77"))


async def test_a_gather_may_get_the_event_around_its_scatter() -> None:
    """`E, list[F]` meets the event beside the scatter with all of its items."""

    class Head(Event, topic="head"):
        n: int

    @handler()
    async def scatter(order: Order) -> tuple[Head, list[Item]]:
        return Head(n=9), [Item(n=i) for i in range(3)]

    @handler()
    async def check(item: Item) -> Checked:
        return Checked(n=item.n)

    @handler()
    async def total(head: Head, checked: list[Checked]) -> Total:
        return Total(items=[head.n, *[c.n for c in checked]])

    async with await App("heads", [scatter, check, total]).run(Order()) as run:
        assert Total(items=[9, 0, 1, 2]) in run.events
        assert run.state == "completed"

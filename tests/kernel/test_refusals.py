"""Every kind of wrong wiring is refused with its stable code, where, and the cure; docs/refusals.md comes from here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from stepwire import App, Context, Decision, Event, Join, WiringError, external, handler

PAGE = Path(__file__).parents[2] / "docs" / "refusals.md"


class A(Event, topic="a"):
    n: int = 0


class B(Event, topic="b"):
    n: int = 0


class C(Event, topic="c"):
    n: int = 0


class D(Event, topic="d", terminal=True):
    n: int = 0


class Loop(Event, topic="loop", entry=True):
    n: int = 0


class Final(Event, topic="final", result=True):
    n: int = 0


class Last(Event, topic="last", result=True):
    n: int = 0


class Bare(Event):
    n: int = 0


class Database:
    """A resource."""


CASES: dict[str, Callable[[], object]] = {}


def case(make: Callable[[], object]) -> Callable[[], object]:
    """Register a case; its name says the code and what is wrong."""
    CASES[make.__name__] = make
    return make


@case
def sw101_a_decorator_without_parentheses() -> object:
    @handler  # type: ignore[call-arg, arg-type]
    async def step(a: A) -> D:
        return D()

    return step


@case
def sw101_a_function_that_is_not_async() -> object:
    @handler()
    def step(a: A) -> D:  # type: ignore[arg-type]
        return D()

    return step


@case
def sw101_something_that_is_no_handler() -> object:
    async def plain(a: A) -> D:
        return D()

    return App("app", [plain])  # type: ignore[list-item]


@case
def sw102_a_parameter_without_annotation() -> object:
    @handler()
    async def step(a) -> D:  # type: ignore[no-untyped-def]
        return D()

    return step


@case
def sw103_a_handler_that_takes_no_event() -> object:
    @handler()
    async def step(ctx: Context) -> D:
        return D()

    return step


@case
def sw104_a_parameter_that_no_rule_covers() -> object:
    @handler()
    async def step(a: dict[str, A]) -> D:
        return D()

    return step


@case
def sw104_an_event_without_a_topic() -> object:
    @handler()
    async def step(a: Bare) -> D:
        return D()

    return step


@case
def sw105_two_lists() -> object:
    @handler()
    async def step(a: list[A], b: list[B]) -> D:
        return D()

    return step


@case
def sw106_a_return_that_is_no_event() -> object:
    @handler()
    async def step(a: A) -> dict[str, B]:
        return {}

    return step


@case
def sw107_a_loop_without_a_limit() -> object:
    @handler()
    async def evaluate(loop: Loop) -> B | D:
        return D()

    @handler()
    async def revise(b: B) -> Loop:
        return Loop()

    return App("polish", [evaluate, revise])


@case
def sw108_two_list_terms() -> object:
    @handler()
    async def step(a: A) -> list[B] | list[C]:
        return []

    return step


@case
def sw109_no_return_annotation() -> object:
    @handler()
    async def step(a: A):  # type: ignore[no-untyped-def]
        return None

    return step


@case
def sw110_one_event_in_two_slots() -> object:
    @handler()
    async def step(a: A, b: A | B) -> D:
        return D()

    return step


@case
def sw110_a_tuple_of_one_event_twice() -> object:
    @handler()
    async def step(a: A) -> tuple[B, B]:
        return B(), B()

    return step


@case
def sw120_a_limit_event_without_a_limit() -> object:
    def give_up(a: A) -> D:
        return D()

    @handler(on_limit=give_up)
    async def step(a: A) -> D:
        return D()

    return step


@case
def sw120_an_order_by_a_field_that_is_not_there() -> object:
    @handler(order="customer")
    async def step(a: A) -> D:
        return D()

    return step


@case
def sw120_a_join_option_on_one_event() -> object:
    @handler(join=Join(timeout=3))
    async def step(a: A) -> D:
        return D()

    return step


@case
def sw120_partial_without_an_optional_part() -> object:
    @handler(join=Join(timeout=3, on_timeout="partial"))
    async def step(a: A, b: B) -> D:
        return D()

    return step


@case
def sw120_an_effect_that_outlives_the_drain() -> object:
    @handler(effect="once", timeout=600)
    async def step(a: A) -> D:
        return D()

    return App("app", [step])


@case
def sw130_two_handlers_of_one_name() -> object:
    @handler(name="same")
    async def one(a: A) -> D:
        return D()

    @handler(name="same")
    async def other(a: A) -> D:
        return D()

    return App("app", [one, other])


@case
def sw131_an_event_nobody_handles() -> object:
    @handler()
    async def step(a: A) -> B:
        return B()

    return App("app", [step])


@case
def sw132_a_handler_that_can_never_fire() -> object:
    @handler()
    async def one(b: B) -> C:
        return C()

    @handler(max_visits=3)
    async def other(c: C) -> B:
        return B()

    return App("app", [one, other])


@case
def sw133_a_missing_resource() -> object:
    @handler()
    async def step(a: A, db: Database) -> D:
        return D()

    return App("app", [step])


@case
def sw135_a_merge_of_published_events_without_a_timeout() -> object:
    @handler()
    async def step(a: A, b: B) -> D:
        return D()

    return App("app", [step])


@case
def sw136_a_gather_without_its_scatter() -> object:
    @handler()
    async def step(a: list[A]) -> D:
        return D()

    return App("app", [step])


@case
def sw137_two_events_of_one_type() -> object:
    class Same(Event, topic="x", type="same", terminal=True):
        n: int = 0

    class Twin(Event, topic="y", type="same", terminal=True):
        n: int = 0

    @handler()
    async def step(a: A) -> Same | Twin:
        return Same()

    return App("app", [step])


@case
def sw138_two_external_steps_with_one_answer() -> object:
    class Ask(Event, topic="x"):
        n: int = 0

    class Other(Event, topic="y"):
        n: int = 0

    class Answer(Event, topic="z", terminal=True):
        n: int = 0

    @handler()
    async def ask(a: A) -> tuple[Ask, Other]:
        return Ask(), Other()

    return App("app", [ask, external(Ask, Answer), external(Other, Answer, match="n")])


@case
def sw140_two_paths_to_one_slot() -> object:
    @handler()
    async def both(a: A) -> tuple[B, C]:
        return B(), C()

    @handler()
    async def same(c: C) -> B:
        return B()

    @handler(join=Join(timeout=9))
    async def meet(b: B, loop: Loop) -> D:
        return D()

    return App("app", [both, same, meet])


@case
def sw141_an_event_alone_and_as_an_item() -> object:
    @handler()
    async def scatter(a: A) -> list[B]:
        return []

    @handler()
    async def plain(c: C) -> B:
        return B()

    @handler()
    async def end(b: B) -> None:
        return None

    return App("app", [scatter, plain, end])


@case
def sw142_more_scatters_inside_each_other_than_anybody_means() -> object:
    kinds = [A]
    for depth in range(10):
        body = {"__module__": __name__, "__annotations__": {"n": int}}
        kinds.append(type(f"Level{depth}", (Event,), body, topic=f"level-{depth}", terminal=True))
    steps = []
    for outer, inner in pairwise(kinds):

        async def step(event: Event) -> list[Event]:
            return []

        step.__annotations__ = {"event": outer, "return": list[inner]}  # type: ignore[valid-type]
        steps.append(handler(name=f"into-{inner.__name__}")(step))
    return App("app", steps)


@case
def sw143_parts_at_different_depths() -> object:
    @handler()
    async def scatter(a: A) -> tuple[B, list[C]]:
        return B(), []

    @handler()
    async def meet(b: B, c: C) -> D:
        return D()

    return App("app", [scatter, meet])


@case
def sw144_a_part_that_may_come_alone() -> object:
    @handler()
    async def step(a: A) -> B | tuple[B, C]:
        return B()

    @handler()
    async def meet(b: B, c: C) -> D:
        return D()

    return App("app", [step, meet])


@case
def sw145_an_item_that_fills_a_part() -> object:
    class One(Event, topic="one"):
        n: int = 0

    class Other(Event, topic="other"):
        n: int = 0

    @handler()
    async def kinds(a: A) -> list[One | Other]:
        return []

    @handler(join=Join(timeout=9))
    async def meet(one: One, other: Other) -> None:
        return None

    return App("app", [kinds, meet])


@case
def sw148_a_join_in_a_loop_with_a_part_from_outside() -> object:
    @handler()
    async def begin(a: A) -> tuple[Loop, C]:
        return Loop(), C()

    @handler()
    async def work(loop: Loop) -> B:
        return B()

    class Both(Event, topic="both"):
        n: int = 0

    @handler(join=Join(timeout=9))
    async def meet(b: B, c: C) -> Both:
        return Both()

    @handler(max_visits=3)
    async def back(both: Both) -> Loop | D:
        return D()

    return App("app", [begin, work, meet, back])


@case
def sw150_two_results_on_one_path() -> object:
    @handler()
    async def first(a: A) -> Final:
        return Final()

    @handler()
    async def second(final: Final) -> Last:
        return Last()

    return App("app", [first, second])


@case
def sw151_a_limit_that_leads_back_into_the_loop() -> object:
    def again(b: B) -> Loop:
        return Loop()

    @handler()
    async def evaluate(loop: Loop) -> B | D:
        return D()

    @handler(max_visits=2, on_limit=again)
    async def revise(b: B) -> Loop:
        return Loop()

    return App("app", [evaluate, revise])


@case
def sw120_a_word_that_no_option_knows() -> object:
    @handler(join=Join(timeout=60, on_timeout="partal"))  # type: ignore[arg-type]
    async def step(a: A, b: B | None) -> D: ...

    return step


@case
def sw120_a_number_that_is_text() -> object:
    @handler(timeout="5")  # type: ignore[arg-type]
    async def step(a: A) -> D: ...

    return step


@case
def sw120_retired_that_is_a_text() -> object:
    @handler(retired="no")  # type: ignore[arg-type]
    async def step(a: A) -> D: ...

    return step


@case
def sw120_a_retry_that_is_a_number() -> object:
    @handler(retry=3)  # type: ignore[arg-type]
    async def step(a: A) -> D: ...

    return step


@case
def sw120_a_join_that_is_a_number() -> object:
    @handler(join=3)  # type: ignore[arg-type]
    async def step(a: A, b: B) -> D: ...

    return step


@case
def sw120_an_until_that_is_no_function() -> object:
    @handler(join=Join(until=3))  # type: ignore[arg-type]
    async def step(items: list[A]) -> D: ...

    return step


@case
def sw101_a_name_in_the_place_of_a_function() -> object:
    return handler("step")  # type: ignore[call-overload]


@case
def sw101_a_function_with_arguments_given_already() -> object:
    async def step(a: A, more: int) -> D: ...

    return handler()(partial(step, more=1))


@case
def sw120_an_app_without_a_usable_name() -> object:
    return App("billing/eu", handlers=[])


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_refused_with_its_code(name: str) -> None:
    """The message begins with the code, names the place, and ends with the cure."""
    with pytest.raises(WiringError) as error:
        CASES[name]()
    codes = [refusal.code for refusal in error.value.refusals]
    assert name[:5].upper() in codes, str(error.value)
    for refusal in error.value.refusals:
        assert refusal.cure.endswith("."), refusal
        assert "\n" not in str(refusal)


def page() -> str:
    """The table of all refusals."""
    lines = [
        "# Refusals", "",
        "Wiring is checked when the App is built. Each refusal has a stable code, one line and the cure. This page is",
        "made by `tests/kernel/test_refusals.py` from the code.", "", "| case | message |", "|---|---|",
    ]  # fmt: skip
    for name, make in CASES.items():
        try:
            make()
        except WiringError as error:
            refusal = next(r for r in error.refusals if r.code == name[:5].upper())
            lines.append(f"| {name[6:].replace('_', ' ')} | {str(refusal).replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def test_the_page_of_refusals_is_current() -> None:
    """docs/refusals.md says what the code says; write it anew with `python -m tests.kernel.test_refusals`."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("topic", ["", "..", "two words", "a/b", "x" * 201, "straße"])
def test_a_topic_that_no_broker_takes_is_refused_where_the_class_stands(topic: str) -> None:
    """Not first by a broker, when the flow is deployed."""
    with pytest.raises(TypeError, match="letters, digits"):

        class Odd(Event, topic=topic):
            pass


def test_decisions_are_no_plain_parameters() -> None:
    """A gate may take one decision only."""
    with pytest.raises(WiringError, match="SW105"):

        @handler()
        async def step(a: Decision[A], b: Decision[B]) -> D:
            return D()


if __name__ == "__main__":
    PAGE.write_text(page())

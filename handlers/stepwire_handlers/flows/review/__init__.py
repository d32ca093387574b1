"""Review: three checks side by side, a jury of five, a merge that decides; sent back, it all goes round again."""

from __future__ import annotations

from pathlib import Path

from stepwire import App, Join, agreed, handler
from stepwire_handlers.flows.review.answers import Check, Opinion
from stepwire_handlers.policies.vote import majority
from stepwire_handlers.steps.claude import Claude

from stepwire_topics.review import (  # isort: skip
    Ballot, FactsChecked, LengthChecked, Proposal, Published, Revise, Shelved, ToneChecked, Verdict, Vote,
)  # fmt: skip

JURORS = ("a reader in a hurry", "a careful lawyer", "a new customer", "an expert of the field", "the press")
MOST_WORDS = 250


@handler()
async def check_facts(text: Proposal, llm: Claude) -> FactsChecked:
    found = await llm(Check, "facts.md", title=text.title, body=text.body)
    return FactsChecked(title=text.title, body=text.body, passed=found.passed, remark=found.remark)


@handler()
async def check_tone(text: Proposal, llm: Claude) -> ToneChecked:
    found = await llm(Check, "tone.md", body=text.body)
    return ToneChecked(passed=found.passed, remark=found.remark)


@handler()
async def check_length(text: Proposal) -> LengthChecked:
    words = len(text.body.split())
    return LengthChecked(passed=words <= MOST_WORDS, remark=f"{words} words, {MOST_WORDS} at most")


@handler()
async def ask_jury(text: Proposal) -> list[Ballot]:
    return [Ballot(juror=juror, title=text.title, body=text.body) for juror in JURORS]


@handler()
async def vote(ballot: Ballot, llm: Claude) -> Vote:
    opinion = await llm(Opinion, "vote.md", juror=ballot.juror, title=ballot.title, body=ballot.body)
    return Vote(juror=ballot.juror, publish=opinion.publish)


@handler(join=Join(until=agreed(3, by=lambda vote: vote.publish)))
async def count(votes: list[Vote]) -> Verdict:
    return Verdict(publish=majority(votes, by=lambda vote: vote.publish).value, votes=len(votes))


@handler()
async def decide(facts: FactsChecked, tone: ToneChecked, length: LengthChecked, jury: Verdict) -> Published | Revise:
    remarks = [check.remark for check in (facts, tone, length) if not check.passed]
    if not jury.publish:
        remarks.append(f"{jury.votes} jurors were asked, most would not publish it")
    if remarks:
        return Revise(title=facts.title, body=facts.body, remarks=remarks)
    return Published(title=facts.title, body=facts.body)


@handler(max_visits=3, on_limit=Shelved.from_revision)
async def revise(work: Revise, llm: Claude) -> Proposal:
    body = await llm.text("revise.md", title=work.title, body=work.body, remarks=work.remarks)
    return Proposal(title=work.title, body=body)


app = App(
    "review",
    [check_facts, check_tone, check_length, ask_jury, vote, count, decide, revise],
    [Claude(prompts=Path(__file__).parent / "prompts")],
)

"""Polish, a loop made safe: evaluate, revise, evaluate again, at most four times."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from stepwire import App, handler
from stepwire_handlers.steps.claude import Claude
from stepwire_topics.polish import GaveUp, NeedsWork, Polished, Text

GOOD_ENOUGH = 8


class Evaluation(BaseModel):
    """How good a text is, and what would make it better."""

    score: int = Field(ge=0, le=10, description="0 to 10: how well the text reaches its goal")
    remarks: list[str] = Field(description="What to change; empty if nothing")


@handler()
async def evaluate(text: Text, llm: Claude) -> Polished | NeedsWork:
    seen = await llm(Evaluation, "evaluate.md", goal=text.goal, body=text.body)
    if seen.score >= GOOD_ENOUGH or not seen.remarks:
        return Polished(body=text.body, score=seen.score)
    return NeedsWork(goal=text.goal, body=text.body, remarks=seen.remarks)


@handler(max_visits=4, on_limit=GaveUp.from_remarks)
async def revise(work: NeedsWork, llm: Claude) -> Text:
    body = await llm.text("revise.md", goal=work.goal, body=work.body, remarks=work.remarks)
    return Text(goal=work.goal, body=body)


app = App("polish", [evaluate, revise], [Claude(prompts=Path(__file__).parent / "prompts")])

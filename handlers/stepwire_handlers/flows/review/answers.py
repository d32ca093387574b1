"""What the review flow's prompts ask for."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Check(BaseModel):
    """What a check found."""

    passed: bool = Field(description="Does the text pass the check?")
    remark: str = Field(description="What to change, or why it passes; one sentence")


class Opinion(BaseModel):
    """What a juror thinks."""

    publish: bool = Field(description="Should this text be published as it stands?")

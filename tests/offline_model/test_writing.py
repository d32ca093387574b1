"""How the offline model chooses, judges and writes: from the words it is given, and labelled."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from tests.offline_model.asking import ask, fill, raw

DESKS = (
    '<choices>\n<choice name="BillingTicket">About invoices, payments, refunds or prices.</choice>\n'
    '<choice name="TechnicalTicket">About errors, crashes, log-in or installation.</choice>\n'
    '<choice name="GeneralTicket">About anything else.</choice>\n</choices>'
)
DESK: dict[str, Any] = {
    "type": "object",
    "properties": {
        "choice": {"type": "string", "enum": ["BillingTicket", "TechnicalTicket", "GeneralTicket"]},
        "reason": {"type": "string"},
    },
}
TICKETS = (
    ("You charged my card twice, please give me my money back.", "BillingTicket"),
    ("Since the update the app freezes and shows error 500.", "TechnicalTicket"),
    ("Do you have any job openings for gardeners?", "GeneralTicket"),
    ("Mein Konto wurde doppelt belastet, ich möchte eine Erstattung.", "BillingTicket"),
    ("L'application plante depuis hier.", "TechnicalTicket"),
    ("No puedo iniciar sesión, la contraseña no funciona.", "TechnicalTicket"),
    ("Ho ricevuto due volte la stessa fattura, vorrei il rimborso.", "BillingTicket"),
    ("Wat zijn jullie openingstijden?", "GeneralTicket"),
)


@pytest.mark.parametrize(("ticket", "desk"), TICKETS)
def test_a_choice_follows_the_words_of_the_text(ticket: str, desk: str) -> None:
    """By the names and descriptions of the choices, in six languages; the reason quotes the text."""
    seen = raw("Which desk should answer?\n\n{{body}}\n\n" + DESKS, DESK, body=ticket)
    assert seen["choice"] == desk
    assert seen["reason"]


class Judged(BaseModel):
    score: int = Field(ge=0, le=10)
    verdict: Literal["accept", "revise", "reject"]
    remarks: list[str]


class Revised(BaseModel):
    body: str


def test_a_loop_of_judging_and_revising_comes_to_an_end() -> None:
    """Each remark is about the text, so the text that takes it scores higher, and is accepted soon."""
    goal, body = (
        "Tell new colleagues in about 60 words why invoices are archived; mention GDPR",
        "the best archive ever!!",
    )
    scores = []
    for _ in range(3):
        judged = fill(
            Judged, "How well does it reach its goal?\n\nGoal: {{goal}}\nText: {{body}}", goal=goal, body=body
        )
        scores.append(judged.score)
        if judged.verdict == "accept":
            break
        prompt = "Revise this text. Follow every remark.\n\nGoal: {{goal}}\nRemarks: {{remarks}}\nText: {{body}}"
        body = fill(Revised, prompt, goal=goal, remarks=judged.remarks, body=body).body
    assert scores[0] < 8 <= scores[-1]
    assert scores == sorted(scores)
    assert "GDPR" in body


class Check(BaseModel):
    passed: bool
    remark: str


@pytest.mark.parametrize(
    ("prompt", "text", "named"),
    [
        ("Check the claims: does every figure name a source?", "We save 47 % of the cost of paper.", "47 %"),
        ("Check the tone: no superlatives.", "This is the fastest archive there is!", "fastest"),
    ],
)
def test_a_check_looks_at_what_it_was_asked_to_look_at(prompt: str, text: str, named: str) -> None:
    """The remark names what is wrong; the same text without it passes."""
    checked = fill(Check, f"{prompt} Say whether it passes.\n\n{{{{text}}}}", text=text)
    assert not checked.passed
    assert named in checked.remark
    assert fill(Check, f"{prompt} Say whether it passes.\n\n{{{{text}}}}", text="We save some of the paper.").passed


class Outline(BaseModel):
    title: str
    headings: list[str]


def test_an_outline_covers_the_points_and_the_article_its_headings() -> None:
    """Whatever the brief lists is a heading, and every heading has a paragraph."""
    points = ["what the law asks", "paper and PDF", "who may look"]
    plan = "Plan an article. Cover every point.\n\nSubject: {{subject}}\nAudience: {{audience}}\nPoints: {{points}}"
    outline = fill(Outline, plan, subject="Archiving invoices", audience="bookkeepers", points=points)
    assert outline.title == "Archiving invoices"
    assert {point.lower() for point in points} <= {heading.lower() for heading in outline.headings}
    write = "Write the article: a short paragraph under each heading.\n\nTitle: {{title}}\nHeadings: {{headings}}"
    article = ask(write, **outline.model_dump())
    assert all(f"## {heading}\n\n" in article for heading in outline.headings)


def test_a_mail_says_what_it_was_told_to_whom_and_is_signed() -> None:
    """The clause of the instruction in the second person, the facts, and the name that was asked for."""
    mail = ask(
        "Write a mail that tells the supplier that their invoice has arrived and will be paid. Sign with the "
        "account manager's name.\n\nSupplier: {{vendor}}\nNumber: {{number}}\nTotal: {{total}}\n"
        "Account manager: {{manager}}",
        vendor="Wexford Glassworks Ltd",
        number="WX-9",
        total="2310.00 GBP",
        manager="Rosa Diaz",
    )
    assert mail.startswith("Hello Wexford Glassworks Ltd,")
    assert "Your invoice has arrived and will be paid." in mail
    assert "- Number: WX-9" in mail
    assert "- Total: 2310.00 GBP" in mail
    assert "Kind regards\nRosa Diaz" in mail


def test_a_reply_restates_the_ticket_and_asks_what_it_was_told_to_ask() -> None:
    """Nothing is promised that the prompt does not know."""
    reply = ask(
        "Write the reply to this customer's ticket.\n\nCustomer: {{customer}}\nTicket: {{body}}",
        system="You answer customers about errors. Ask for what is missing (version, message, steps).",
        customer="Ada Byron",
        body="When I click export the app shows error 500. It worked last week.",
    )
    assert reply.startswith("Hello Ada Byron,")
    assert "error 500" in reply
    assert "version, message, steps" in reply


@pytest.mark.parametrize(
    "prompt",
    [
        "Summarise this.\n\n{{text}}",
        "Edit this text.\n\n{{text}}",
        "Draft an email about this.\n\n{{text}}",
        "Outline an article.\n\n{{text}}",
        "What was charged?\n\n{{text}}",
        "Say something.\n\n{{text}}",
    ],
)
def test_every_free_text_is_labelled_once(prompt: str) -> None:
    """Also where the label of an earlier answer comes in with the data."""
    text = "The card was charged twice. A refund was asked for.\n\n[offline model]"
    assert ask(prompt, text=text).count("[offline model]") == 1


def test_the_same_prompt_has_the_same_answer() -> None:
    """No chance, no clock: a flow that is run again is the same flow."""
    assert ask("Edit this.\n\n{{text}}", text="a  b") == ask("Edit this.\n\n{{text}}", text="a  b")


def test_nothing_in_a_text_makes_it_slow() -> None:
    """Long runs of anything are cut, not searched again and again; the suite's own time limit is the measure."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("total", "vendor", "email", "iban")},
    }
    for text in ("1 " * 3000, "a" * 20_000, " " * 40_000, "total\n" * 900, "a@" * 5000, "1-" * 4000):
        assert raw("Read this.\n\n{{text}}", schema, text=f"x{text}x")
        assert ask("Edit this.\n\n{{text}}", text=f"x{text}x")

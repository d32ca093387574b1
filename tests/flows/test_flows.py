"""The shipped flows, whole, in memory: every branch, with fakes in the place of models and tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stepwire.testing import Fake, SyncRun
from stepwire_handlers.blobs import BlobStore
from stepwire_handlers.flows import invoices as flow
from stepwire_handlers.flows.invoices import samples
from stepwire_handlers.flows.polish import Evaluation
from stepwire_handlers.flows.polish import app as polish
from stepwire_handlers.flows.review import app as review
from stepwire_handlers.flows.review.answers import Check, Opinion
from stepwire_handlers.flows.support import app as support
from stepwire_handlers.steps.claude import Claude
from stepwire_handlers.steps.tool import Tool
from stepwire_topics.attachment import Attachment
from stepwire_topics.invoices import Entities, InvoiceReceived
from stepwire_topics.polish import Text
from stepwire_topics.review import Proposal
from stepwire_topics.support import BillingTicket, TicketOpened

RunApp = Callable[..., SyncRun]
CUSTOMER = {
    "name": "Acme", "account_manager": "Ann", "email": "a@acme.example", "slack_channel": "#ap", "terms": "30 days",
}  # fmt: skip


@pytest.fixture(scope="module")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One real invoice."""
    folder = tmp_path_factory.mktemp("pdf")
    (sample, *_) = samples.generate(folder, 7, 1)
    return (folder / sample.file).read_bytes()


def invoice(
    run_app: RunApp, pdf: bytes, total: float, rows: list[dict[str, str]] | None = None, **seen: Any
) -> tuple[SyncRun, dict[str, Fake]]:
    """One invoice through the flow; what its model and tools were asked."""
    fields = {"is_invoice": True, "vendor": "Acme", "number": "R-1", "date": "2026-01-02", "currency": "EUR"} | seen
    answers = [Entities(total=total, **fields)] + [Entities(total=total + i, **fields) for i in range(1, 5)]
    fakes = {
        "llm": Fake(Claude, call=answers, text="a mail"),
        "query": Fake(Tool, "postgres.query", call={"rows": [CUSTOMER] if rows is None else rows}),
        "send": Fake(Tool, "slack.send", call={"ts": "17.1"}),
        "draft": Fake(Tool, "gmail.create_draft", call={"id": "r-1"}),
        "blobs": Fake(BlobStore, get=pdf),
    }
    received = InvoiceReceived(pdf=Attachment(sha256="0" * 64, size=len(pdf)))
    return run_app(flow.app, received, resources=list(fakes.values())), fakes


def test_a_small_invoice_goes_through(run_app: RunApp, pdf: bytes) -> None:
    """Read, extracted, looked up, told, written, drafted: once each."""
    run, fakes = invoice(run_app, pdf, 99.5)
    assert (run.state, run.result.draft, run.result.message) == ("completed", "r-1", "17.1")
    assert len(fakes["send"].calls) == len(fakes["draft"].calls) == 1


def test_a_large_invoice_waits_for_a_person(run_app: RunApp, pdf: bytes) -> None:
    """Above the limit nothing is sent before somebody approved, and what they edited is what is sent."""
    run, fakes = invoice(run_app, pdf, 20_000)
    assert (run.state, fakes["send"].calls) == ("waiting", [])
    asked = run.gates[0].event
    edited = asked.model_copy(update={"invoice": asked.invoice.model_copy(update={"number": "R-2"})})
    run.decide(approved=True, by="ann", edited=edited)
    assert (run.state, run.result.invoice.number) == ("completed", "R-2")


def test_an_invoice_may_be_sent_back_for_changes(run_app: RunApp, pdf: bytes) -> None:
    """Each remark is a new reading and a new question; the approval is of the last one."""
    run, _ = invoice(run_app, pdf, 20_000)
    run.decide(approved=False, why="the total is wrong")
    run.decide(approved=False, why="still wrong")
    run.decide(approved=True)
    assert float(run.result.invoice.total) == 20_002


def test_an_invoice_that_is_sent_back_too_often_is_set_aside(run_app: RunApp, pdf: bytes) -> None:
    """The loop has a limit."""
    run, fakes = invoice(run_app, pdf, 20_000)
    for _ in range(4):
        run.decide(approved=False, why="no")
    assert run.result.reason == "sent back too often: no"
    assert fakes["send"].calls == []


@pytest.mark.parametrize(("rows", "reason"), [([], "no customers"), ([CUSTOMER, CUSTOMER], "2 customers")])
def test_a_sender_who_is_not_one_customer_is_set_aside(
    run_app: RunApp, pdf: bytes, rows: list[Any], reason: str
) -> None:
    """Not found, or found twice: a person has to look."""
    run, _ = invoice(run_app, pdf, 5, rows)
    assert run.result.reason.startswith(reason)


def test_what_is_no_invoice_is_set_aside(run_app: RunApp, pdf: bytes) -> None:
    """A menu is no invoice."""
    run, fakes = invoice(run_app, pdf, 5, is_invoice=False)
    assert "not an invoice" in run.result.reason
    assert fakes["query"].calls == []


def test_a_file_that_is_no_pdf_is_a_dead_letter_with_a_reason(run_app: RunApp) -> None:
    """Nobody retries what cannot be read."""
    run, _ = invoice(run_app, b"not a pdf", 5)
    assert (run.state, run.dead_letters[0].error) == ("failed", "Reject")


def test_a_ticket_goes_to_its_desk(run_app: RunApp) -> None:
    """The route is what the model chose."""
    llm = Fake(Claude, choose=BillingTicket, text="we will look")
    run = run_app(support, TicketOpened(customer="Ann", body="invoice"), resources=[llm])
    assert (run.result.desk, run.result.reply) == ("billing", "we will look")


def test_a_text_is_polished_at_most_four_times(run_app: RunApp) -> None:
    """Good enough ends the loop; never good enough ends it at the limit."""
    worse = [Evaluation(score=3, remarks=["more"])] * 9
    run = run_app(polish, Text(goal="g", body="b"), resources=[Fake(Claude, call=list(worse), text="again")])
    assert type(run.result).__name__ == "GaveUp"
    better = [Evaluation(score=3, remarks=["more"]), Evaluation(score=9, remarks=[])]
    run = run_app(polish, Text(goal="g", body="b"), resources=[Fake(Claude, call=better, text="again")])
    assert (run.result.score, run.result.body) == (9, "again")


def reviewer(laps: int) -> Fake:
    """A model that finds fault until the text was revised so often."""

    def answer(kind: type, _: str, **values: Any) -> Any:
        good = values["body"].count("+") >= laps
        return Check(passed=good, remark="why") if kind is Check else Opinion(publish=good)

    return Fake(Claude, call=answer, text=lambda _, **values: values["body"] + "+")


@pytest.mark.parametrize(("laps", "result"), [(0, "Published"), (2, "Published"), (9, "Shelved")])
def test_a_proposal_is_checked_again_after_each_revision(run_app: RunApp, laps: int, result: str) -> None:
    """Three checks and a jury meet anew each time round; at the limit the proposal is shelved."""
    run = run_app(review, Proposal(title="t", body="b"), resources=[reviewer(laps)])
    assert (type(run.result).__name__, run.state) == (result, "completed")

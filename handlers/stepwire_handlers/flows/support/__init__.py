"""Support, a route: classify once, then a specialist answers."""

from __future__ import annotations

from pathlib import Path

from stepwire import App, handler
from stepwire_handlers.steps.claude import Claude
from stepwire_topics.support import Answered, BillingTicket, GeneralTicket, TechnicalTicket, TicketOpened


@handler()
async def triage(ticket: TicketOpened, llm: Claude) -> BillingTicket | TechnicalTicket | GeneralTicket:
    desk = await llm.choose(BillingTicket, TechnicalTicket, GeneralTicket, template="triage.md", body=ticket.body)
    return desk(customer=ticket.customer, body=ticket.body)


@handler()
async def billing(ticket: BillingTicket, llm: Claude) -> Answered:
    reply = await llm.text("billing.md", customer=ticket.customer, body=ticket.body)
    return Answered(customer=ticket.customer, desk="billing", reply=reply)


@handler()
async def technical(ticket: TechnicalTicket, llm: Claude) -> Answered:
    reply = await llm.text("technical.md", customer=ticket.customer, body=ticket.body)
    return Answered(customer=ticket.customer, desk="technical", reply=reply)


@handler()
async def general(ticket: GeneralTicket, llm: Claude) -> Answered:
    reply = await llm.text("general.md", customer=ticket.customer, body=ticket.body)
    return Answered(customer=ticket.customer, desk="general", reply=reply)


app = App("support", [triage, billing, technical, general], [Claude(prompts=Path(__file__).parent / "prompts")])

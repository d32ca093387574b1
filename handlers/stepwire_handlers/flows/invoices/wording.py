"""What the invoice flow says: to the account manager, and to the model that writes to the sender."""

from __future__ import annotations

from stepwire_topics.invoices import InvoiceApproved, ManagerTold


def announcement(approved: InvoiceApproved) -> str:
    """The message to the account manager."""
    invoice, manager = approved.invoice, approved.customer.account_manager
    what = f"invoice {invoice.number} of {invoice.vendor} over {invoice.total} {invoice.currency}"
    return f"{manager}: {what} is approved ({approved.approved_by})."


def facts(told: ManagerTold) -> dict[str, str]:
    """All that the mail may say, as `prompts/mail.md` names it."""
    invoice, customer = told.invoice, told.customer
    return {
        "vendor": invoice.vendor,
        "number": invoice.number,
        "date": invoice.date,
        "total": f"{invoice.total} {invoice.currency}",
        "terms": customer.terms,
        "manager": customer.account_manager,
    }

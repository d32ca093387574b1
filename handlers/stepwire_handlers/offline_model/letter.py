"""Letters: a prompt comes in; a mail to somebody, with the facts of the prompt and signed by somebody, goes out.

Who it is to, what it says and who signs are read from the instructions: "tell the supplier that …", "sign with the
manager's name"; values are found by their names and by the labels that the prompt writes before them.
"""

from __future__ import annotations

import re

from stepwire_handlers.offline_model.choose import choose
from stepwire_handlers.offline_model.document import Document
from stepwire_handlers.offline_model.parties import person
from stepwire_handlers.offline_model.reading import Reading
from stepwire_handlers.offline_model.words import count, name_words, summary

PEOPLE = ("recipient", "to", "customer", "customer_name", "name", "client", "contact", "author")
SENDERS = ("signature", "signed_by", "team", "our_name")
MESSAGES = ("body", "text", "message", "ticket", "email", "content", "request", "question")
NOT_FACTS = {*PEOPLE, *SENDERS, *MESSAGES, "remarks", "feedback", "juror", "language"}
TO = re.compile(r"\b(?:tell|tells|inform|informs|ask|asks|thank|thanks|remind|reminds|to|for|answer|answers)\s+")
SIGNED = re.compile(r"\bsign\w*\b[^.\n]{0,30}?\b(?:with|as|by|for|in)\s+", re.IGNORECASE)
CLAUSE = re.compile(
    r"\b(?:tell|say|inform|confirm|announce|state|explain|remind)\w*\b[^.\n]{0,60}?\bthat\s+([^.\n]+)", re.IGNORECASE
)
ASK_FOR = re.compile(r"\bask for\s+(?:what is missing\s*)?\(?([^).;\n]+)", re.IGNORECASE)
YOURS = (
    (r"\b(?:their|the (?:sender|customer|client|supplier|vendor|recipient)'s|his or her)\b", "your"),
    (r"\b(?:they|the (?:sender|customer|client|supplier|vendor|recipient))\b", "you"),
    (r"\bthem\b", "you"),
)
STEPS = {
    "billing": "We will check the invoice and the payments that you mention, and write to you with the result.",
    "technical": "We will try to see the same on our side, and write to you with what we find.",
    "shipping": "We will ask where the delivery is, and write to you with the answer.",
    "general": "We will pass this on to the right person, who will get back to you.",
}


def letter(reading: Reading) -> str:
    """The mail as text."""
    to = addressee(reading)
    lines = [f"Hello {to}," if to else "Hello,", ""]
    told = CLAUSE.search(reading.asked)
    message = reading.value(*MESSAGES)
    if told:
        lines += [_addressed(told[1]), ""]
    elif message and count(message) > 3:
        lines += ["thank you for your message. This is how we understand it:", f"“{summary(message)[:300]}”", ""]
    facts = _facts(reading, to)
    if facts:
        lines += ["These are the details:", *(f"- {name}: {value}" for name, value in facts), ""]
    lines += [*_next_steps(reading, told=told is not None), "", "Kind regards", signer(reading) or "Your team"]
    return "\n".join(lines)


def addressee(reading: Reading) -> str | None:
    """Whom the instructions name, by value or by label; else who is called a customer; else who signed the message."""
    for match in TO.finditer(reading.asked):
        found = _meant(reading, reading.asked[match.end() : match.end() + 60])
        if found:
            return found
    return reading.value(*PEOPLE) or person(reading.data)


def signer(reading: Reading) -> str | None:
    """Whose name stands below."""
    signed = SIGNED.search(reading.asked)
    if signed:
        return _meant(reading, reading.asked[signed.end() : signed.end() + 60])
    return reading.value(*SENDERS)


def _meant(reading: Reading, phrase: str) -> str | None:
    """The short value that a phrase begins with, or whose name or label it begins with."""
    words = name_words(phrase)[:5]
    for name, value in reading.values.items():
        if not 1 < len(value) <= 60 or re.search(r"\d|\n", value):
            continue
        called = [name_words(name), name_words(reading.labels.get(name, ""))]
        if name_words(value) == words[: len(name_words(value))] or any(own and own[-1] in words[:3] for own in called):
            return value
    return None


def _addressed(clause: str) -> str:
    """An instruction's clause, said to the one it is about."""
    for pattern, word in YOURS:
        clause = re.sub(pattern, word, clause, flags=re.IGNORECASE)
    clause = clause.strip(" ,;")
    return clause[:1].upper() + clause[1:] + "."


def _facts(reading: Reading, to: str | None) -> list[tuple[str, str]]:
    """Short named values, as a letter quotes them; from a document, its number, total and due date."""
    by = signer(reading)
    found = []
    for name, value in reading.facts.items():
        text = "" if value is None or isinstance(value, (list, dict)) else str(value).strip()
        if text and text not in (to, by) and name not in NOT_FACTS and len(text) <= 60 and "\n" not in text:
            label = reading.labels.get(name) or " ".join(name_words(name))
            found.append((label[:1].upper() + label[1:], text))
    if not found:
        document = Document(reading.data)
        number, total, due = document.code("invoice_number"), document.total, document.day("due_date")
        found += [("Invoice number", number)] if number else []
        found += [("Total", f"{total.value} {document.currency or ''}".strip())] if total and number else []
        found += [("Due date", due.isoformat())] if due else []
    return found[:8]


def _next_steps(reading: Reading, *, told: bool) -> list[str]:
    if told:
        return ["Please tell us if any of this does not match your records."]
    theme = choose(dict.fromkeys(STEPS, ""), reading.data).label
    wanted = ASK_FOR.search(reading.asked)
    asking = [f"Please tell us: {wanted[1].strip()}."] if wanted else []
    return [*asking, STEPS[theme]]

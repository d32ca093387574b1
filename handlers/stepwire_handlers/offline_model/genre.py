"""Genre: is a document an invoice, a quote, a reminder? Its title says so; an invoice is known by its fields, too."""

from __future__ import annotations

import re
from collections import Counter

from stepwire_handlers.offline_model.document import Document
from stepwire_handlers.offline_model.labels import labels_in
from stepwire_handlers.offline_model.words import stem

#: titles in six languages, folded
TITLES = {
    "invoice": r"(?:tax |vat |sales |commercial |proforma )?invoice|rechnung|facture|factura(?: simplificada)?|fattura|"
    r"factuur|faktura(?: vat)?|fatura|lasku|schlussrechnung|abschlagsrechnung|ricevuta / fattura|bill",
    "quote": r"quote|quotation|estimate|offer|proposal|angebot|kostenvoranschlag|devis|presupuesto|preventivo|offerte",
    "delivery note": r"delivery note|packing (?:slip|list)|lieferschein|bon de livraison|bordereau de livraison|albaran"
    r"(?: de entrega)?|nota de entrega|documento di trasporto|ddt|bolla|pakbon|leverbon",
    "order": r"purchase order|order confirmation|order|auftragsbestatigung|bestellung|bon de commande|"
    r"confirmation de commande|orden de compra|pedido|ordine(?: di acquisto)?|conferma d'ordine|bestelbon|"
    r"orderbevestiging",
    "reminder": r"(?:payment |final |friendly )?reminder|overdue notice|(?:\d\. )?mahnung|zahlungserinnerung|relance|"
    r"(?:lettre de )?rappel|recordatorio(?: de pago)?|sollecito(?: di pagamento)?|(?:betalings)?herinnering|aanmaning",
    "statement": r"(?:account |bank )?statement(?: of account)?|kontoauszug|releve(?: de compte)?|extracto|"
    r"estratto conto|rekeningoverzicht",
    "credit note": r"credit (?:note|memo)|gutschrift|(?:facture d')?avoir|nota de credito|abono|nota di credito|"
    r"creditnota|creditfactuur|stornorechnung",
    "receipt": r"receipt|quittung|kassenbon|recu|ticket de caisse|recibo|ricevuta|scontrino|kassabon",
    "contract": r"contract|agreement|terms (?:and|&) conditions|vertrag|contrat|contrato|contratto|overeenkomst",
    "report": r"(?:annual |progress |meeting )?report|minutes|bericht|protokoll|rapport|compte rendu|informe|"
    r"relazione|verslag",
}
AFTER = r"(?:\s*(?:$|[:#№]|n[°º.r]|no\b|nr\b|number|nummer|numero|details|[\w/-]*\d|[-–—|]|\())"
ALONE = r"\s*(?:$|[\w/-]*\d[\w/-]*$|[-–—(])"  # "Order no. 7" is a line of an invoice, not a title
TITLED, NUMBERED, SUMMED, ENOUGH = 4, 2, 1, 3  # what speaks for a genre, and how much must
PLAIN = 6  # weight of a label that is plain enough to count
TOP = 25  # lines in which a title is looked for


def genre(document: Document) -> str | None:
    """What sort of document it is; None if nothing says so."""
    votes: Counter[str] = Counter()
    for line in document.lines[:TOP]:
        for cell in line.folded.split("  "):
            for kind, titles in TITLES.items():
                if kind not in votes and re.match(
                    rf"(?:{titles})\b{AFTER if kind == 'invoice' else ALONE}", cell.strip()
                ):
                    votes[kind] = TITLED
    concepts = {label.concept for line in document.lines for label in labels_in(line.folded) if label.weight >= PLAIN}
    if document.labelled_code("invoice_number"):
        votes["invoice"] += NUMBERED
    if "total" in concepts and document.total is not None:
        votes["invoice"] += SUMMED
    if not votes:
        return None
    best = max(votes, key=lambda kind: (votes[kind], kind == "invoice"))
    titled = [kind for kind in votes if kind != "invoice" and votes[kind] >= TITLED]
    if titled and votes["invoice"] < TITLED:
        return titled[0]  # a reminder quotes the number and the sum of an invoice
    return best if votes[best] >= ENOUGH else None


def is_genre(name_words: list[str], document: Document) -> bool | None:
    """For a field such as `is_invoice`: whether the document is one; None if the field asks something else."""
    asked = {stem(word) for word in name_words} - {"is", "was", "are", "document", "real", "valid", "a", "an", "text"}
    for kind in TITLES:
        if asked == {stem(word) for word in kind.split()}:
            return genre(document) == kind
    return None

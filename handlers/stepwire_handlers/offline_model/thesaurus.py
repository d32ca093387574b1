"""Which words speak for the same thing, as data: a theme's names, and words that betray it in a text.

General knowledge of the words of business mail, in six languages; used where a label says "billing" and a text says
"refund". Words are folded; they are compared by their stems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepwire_handlers.offline_model.words import stem

_TABLE = """
billing bill payment invoice finance financial accounting money rechnung facturation facturacion fatturazione:
    invoice bill billed billing charge charged refund refunded payment pay paid price cost fee money
    card credit debit subscription receipt discount vat tax overcharged twice bank transfer iban
    amount due rechnung bezahlt zahlung abgebucht abbuchung erstattung betrag konto facture paiement
    remboursement preleve factura pago cobrado reembolso fattura pagamento rimborso addebito factuur
    betaling terugbetaling afgeschreven bedrag
technical tech bug support it engineering software fault problem technik technisch technique tecnico:
    error crash crashes bug broken login log password install app application website browser api
    fails fail failing failed timeout slow screen server update sync device version export import
    upload download exception code 404 500 freezes loading blank reset connection connect fehler
    absturz funktioniert anmelden passwort geht erreur panne plante connexion marche fallo no
    funciona contrasena errore non funziona accesso fout storing werkt inloggen
shipping delivery logistics order lieferung livraison envio spedizione levering:
    delivery deliver delivered parcel package tracking shipped shipment ship courier late arrive
    arrived lost damaged address order lieferung paket sendung angekommen livraison colis envio
    paquete pedido spedizione pacco levering pakket
sales quote pricing purchase lead commercial vertrieb vente ventas vendite verkoop:
    quote offer demo trial upgrade plan plans buy purchase enterprise license seats interested
    pricing angebot kaufen devis acheter presupuesto comprar preventivo offerte kopen
account access profile user konto compte cuenta:
    account login password profile username access locked close delete cancel email change konto
    compte cuenta account wachtwoord
general question information inquiry enquiry allgemein generale algemeen:
    question hours opening information wondering curious know where contact policy office website
    partnership job frage offnungszeiten question horaires pregunta horario domanda orari vraag
    openingstijden
complaint angry cancellation churn beschwerde reclamation queja reclamo klacht:
    complaint unacceptable disappointed terrible worst angry cancel cancelled lawyer never
    ridiculous awful furious beschwerde unzumutbar reclamation inacceptable queja inaceptable
    reclamo klacht onacceptabel
security abuse fraud privacy legal compliance gdpr sicherheit:
    hacked phishing breach fraud stolen suspicious leaked gdpr privacy lawsuit lawyer court legal
    unauthorised unauthorized vulnerability betrug datenschutz fraude
urgent high critical emergency severe p1 hoch dringend haute alta hoog:
    urgent urgently asap immediately critical emergency outage down deadline today now production
    blocked everyone cannot losing serious dringend sofort ausfall urgente subito dringende spoed
low minor trivial p3 p4 niedrig faible baja bassa laag:
    whenever minor cosmetic suggestion nice curious typo someday later rush small question wondering
    irgendwann
positive happy praise satisfied good positiv positif positivo:
    great love excellent amazing wonderful perfect happy thanks helpful fantastic good best awesome
    satisfied friendly toll super danke zufrieden merci parfait genial gracias perfecto ottimo
    grazie fijn geweldig
negative unhappy bad dissatisfied negativ negatif negativo:
    bad terrible awful worst hate broken disappointed angry poor useless slow never unacceptable
    wrong fail frustrated schlecht enttauscht mauvais decu malo decepcionado pessimo deluso slecht
    teleurgesteld
spam advertising junk promotion:
    lottery winner prize click offer free unsubscribe viagra casino crypto million inheritance
    limited deal bitcoin
refund return rueckerstattung remboursement:
    refund money back return reimburse chargeback erstattung rembours reembols rimbors terugbet
"""


def _themes(table: str) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Names and words of each theme, as stems; what names it also betrays it."""
    for part in re.split(r"\n(?=\S)", table.strip()):
        names, _, words = part.partition(":")
        yield frozenset(map(stem, names.split())), frozenset(map(stem, f"{names} {words}".split()))


THEMES = tuple(_themes(_TABLE))


def _stems(words: str) -> frozenset[str]:
    return frozenset(map(stem, words.split()))


CATCH_ALL = _stems(
    "general other misc miscellaneous none unknown neutral default else anything medium normal moderate mixed"
)
GOOD = _stems(
    "accept accepted approve approved pass passed ok okay good yes publish ready done ship keep excellent clear "
    "fine valid correct sound true satisfied complete finished safe"
)
BAD = _stems(
    "reject rejected fail failed no bad block blocked poor stop unsafe invalid wrong deny denied decline unacceptable"
)
MIDDLE = _stems(
    "revise revision rework retry improve improvable changes change needs edit again refine redo weak fix minor "
    "maybe unsure borderline"
)


def related(words: frozenset[str]) -> frozenset[str]:
    """The words that speak for any of these stems."""
    return frozenset().union(*(betraying for names, betraying in THEMES if names & words))

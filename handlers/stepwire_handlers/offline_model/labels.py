"""Labels: the words that documents put beside their values, in six languages and a few more, as data.

A folded line (see `page`) comes in; which labels stand where goes out. Where two labels overlap, the longer one
counts: "Total HT" is a net amount although "Total" is in it.
"""

# ruff: noqa: E501 - one label a line reads better than its pieces
from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a value looks like."""

    ID = "id"
    MONEY = "money"
    DATE = "date"
    NAME = "name"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Label:
    """A label found in a line."""

    concept: str
    kind: Kind
    weight: int  #: how surely it means its concept, 1 to 10
    start: int
    end: int


_DOC = r"(?:(?:tax|vat|sales|commercial|proforma|pro-forma)\s+)?(?:invoice|rechnungs?|factur[ae]|fattura|factuur|faktur[ay]n?|fakturan?|fatura|bill|credit\s?note|gutschrifts?)"
_NUM = r"(?:numbers?|nummer|numero|numer|num\b\.?|nr\b\.?|nos?\b\.?|n\s?[.°ºo]|n(?=[°º:.#])|#|id\b|ref(?:erence)?\b\.?|code)\s*[.°º]?"
_OF = r"(?:of\s+|the\s+|de\s+la\s+|de\s+|di\s+|della\s+|du\s+|d'|der\s+|van\s+de\s+|van\s+)*"
_NET = r"(?:net(?:to|t|s)?(?!\s?(?:a|te|zu)\b)|ht\b|h\.t\.|excl\w*|ex\b\.?|before|without|hors|sans|senza|sin|zonder|ohne|exkl\w*|iva\s+esclusa|zzgl)"
_GROSS = (
    r"(?:brutt?o|gross|ttc\b|t\.t\.c\.|incl\w*|inkl\w*|inc\b\.?|including|with|con|avec|iva\s+inclus[ao]|ivato|toutes)"
)
_TAX = r"(?:vat|taxe?s?|gst|hst|mwst\.?|m\.w\.st\.?|ust\.?|mehrwertsteuer|umsatzsteuer|steuer|tva|t\.v\.a\.?|iva|i\.v\.a\.?|btw|impuestos?|imposta|moms|dph)"
_WITH_TAX = rf"(?:\s*\(?\s*(?:\d+(?:[.,]\d+)?\s?%\s*)?{_TAX}(?:\s*\d+(?:[.,]\d+)?\s?%)?\)?(?:\s+comprises?)?)?"
_SUM = r"(?:total|totale|totaal|gesamt(?:betrag|summe|preis|wert)?|summe|betrag|montant|importe|importo|bedrag|amount|suma|belopp|belob|celkem|razem|somme)"

_TABLE: tuple[tuple[str, Kind, int, str], ...] = (
    # identifiers
    ("invoice_number", Kind.ID, 10, rf"{_DOC}\s*[-/]?\s*{_OF}{_NUM}"),
    ("invoice_number", Kind.ID, 10, rf"{_NUM}\s*{_OF}{_DOC}(?![a-z])"),
    ("invoice_number", Kind.ID, 10, r"(?:rechnungs|factuur|faktura|fakturan)\s?-?(?:nummer|nr\b\.?|no\b\.?|kennung)"),
    ("invoice_number", Kind.ID, 10, rf"(?:inv|re|rg|rech|rechn|fact?|fatt|fc)\b\.?\s*-?\s*{_NUM}"),
    ("invoice_number", Kind.ID, 5, rf"{_DOC}(?![a-z])"),
    ("invoice_number", Kind.ID, 6, r"(?:document|doc|beleg|dokument|documento)\s?-?\s?(?:number|nummer|no\b\.?|nr\b\.?|numero|n\s?[.°º]|id\b)"),
    ("invoice_number", Kind.ID, 6, rf"{_NUM}\s*{_OF}(?:document[eo]?|beleg|dokument)"),
    ("invoice_number", Kind.ID, 3, r"(?:number|nummer|numero|nr|no|n[°º]|№)(?=\s*[.:°º#])[.]?"),
    ("invoice_number", Kind.ID, 10, r"lasku(?:n\s+numero|n?\s?-?n(?:ume)?ro)|faktura\s+c(?:islo)?\.?(?![a-z])|cislo\s+(?:faktury|dokladu)|belge\s+no\b\.?|folio(?:\s+fiscal)?"),
    ("order_number", Kind.ID, 10, r"(?:p\.?o\.?|purchase\s+order|(?:your\s+|sales\s+)?order|bestell(?:ung)?s?|auftrags?|commande|pedido|ordine|bestelling|order)\s?-?\s?(?:number|nummer|no\b\.?|nr\b\.?|numero|n\s?[.°º]|#|id\b|ref\w*)"),
    ("order_number", Kind.ID, 8, r"(?:numero|no|n\s?[.°º])\s*(?:de|di|d'|del)?\s*(?:commande|pedido|ordine|order)"),
    ("order_number", Kind.ID, 5, r"(?:p\.?o\.?|purchase\s+order|bestellung|commande|pedido|ordine)(?=\s*[:#])"),
    ("customer_number", Kind.ID, 10, r"(?:customer|client|account|kunden?|debitor\w*|cliente?|klant|debiteur\w*)\s?-?\s?(?:number|nummer|no\b\.?|nr\b\.?|numero|n\s?[.°º]|#|id\b|code|ref\w*)"),
    ("customer_number", Kind.ID, 9, r"(?:numero|no|n\s?[.°º]|code|codice)\s*(?:de|di|del)?\s*(?:client|cliente|klant|compte)"),
    ("delivery_number", Kind.ID, 9, r"(?:delivery|lieferschein|livraison|albaran|ddt|pakbon|shipment|tracking|contract|vertrags?|projec?kt?s?|quote|angebots?|offerte?|devis)\s?-?\s?(?:note\s*)?(?:number|nummer|no\b\.?|nr\b\.?|numero|n\s?[.°º]|#|id\b)"),
    ("vat_id", Kind.ID, 10, rf"(?:{_TAX}|ust|tax|umsatzsteuer)\s?-?\s?(?:registration\s*|ident(?:ifikations)?\s?-?)?(?:number|nummer|no\b\.?|nr\b\.?|id(?:ent\w*)?\b\.?(?:\s?-?(?:nr|no)\b\.?)?|idnr\b\.?|ident\w*|intracom\w*|reg\b\.?(?:\s*no\b\.?)?)"),
    ("vat_id", Kind.ID, 10, r"(?:steuernummer|steuer-?nr\b\.?|siret|siren|partita\s+iva|p\.?\s?iva|c\.?\s?f\.|codice\s+fiscale|cif|nif|kvk|btw-?nummer|btw-?nr|hrb|ein|company\s+(?:no|number|reg\w*)|reg(?:istration|istered)?\.?\s*(?:no|number|in)\b\.?|abn|acn|numero\s+(?:de\s+)?tva|n\s?[.°º]\s*(?:de\s+)?tva)\b"),
    ("iban", Kind.OTHER, 10, r"iban"),
    ("bic", Kind.OTHER, 10, r"(?:bic|swift)(?:\s?/\s?(?:swift|bic))?(?:\s?-?\s?code)?"),
    ("bank", Kind.OTHER, 6, r"(?:sort\s+code|account\s+(?:no|number)|konto(?:nummer|inhaber)?|blz|bank(?:\s+details|verbindung|name)?|kontonr|banque|banco|banca|routing\s+(?:no|number))"),
    ("phone", Kind.OTHER, 8, r"(?:tele(?:ph|f)on\w*|tel|phone|mobile?|fax|telefax|hotline)"),
    ("email", Kind.OTHER, 8, r"e-?mail|mail"),
    ("reference", Kind.ID, 4, r"(?:(?:your|our|ihre?|unsere?|votre|notre|vostro|nostro|uw|onze|payment|customer)\s+)?(?:ref(?:erence|erenz|erentie)?|zeichen|riferimento|referencia|kenmerk|verwendungszweck)\b\.?"),
    # money
    ("total", Kind.MONEY, 10, r"(?:grand|invoice|final|overall|order)\s+total(?:\s+due)?|total\s+(?:amount\s+)?(?:due|payable|to\s+pay|owed|outstanding)|(?:total\s+)?(?:amount|balance)\s+(?:now\s+)?(?:due|payable|to\s+pay|owed|outstanding)|(?:total\s+)?invoice\s+(?:amount|total|value)|total\s+(?:invoice|amount|sum|price|cost|charge)|please\s+pay|to\s+be\s+paid|to\s+pay|sum\s+total|total\s+for\s+this\s+invoice"),
    ("total", Kind.MONEY, 10, r"(?:gesamt|rechnungs|end|zahl|brutto|forderungs|ueberweisungs|uberweisungs)(?:betrag|summe|preis|total)|(?:zu\s+zahlen(?:der\s+betrag)?|zahlbarer\s+betrag|zu\s+zahlender\s+(?:betrag|gesamtbetrag)|falliger\s+betrag|offener\s+betrag|betrag\s+fallig|summe\s+gesamt|endsumme|rechnungstotal)"),
    ("total", Kind.MONEY, 10, r"(?:net|total|montant(?:\s+total)?|solde|reste)\s+(?:net\s+)?a\s+(?:payer|regler)|montant\s+(?:total|du|facture)|total\s+(?:general|de\s+la\s+facture|du)|total\s+facture|somme\s+due|a\s+payer"),
    ("total", Kind.MONEY, 10, r"(?:importe|total)\s+(?:total|a\s+pagar|factura|general|de\s+la\s+factura|adeudado)|(?:total|importe)\s+(?:final|global)|a\s+pagar|valor\s+total"),
    ("total", Kind.MONEY, 10, r"(?:totale|importo|netto)\s+(?:documento|fattura|da\s+pagare|a\s+pagare|complessivo|dovuto|totale|generale|finale)|importo\s+totale|totale\s+della\s+fattura"),
    ("total", Kind.MONEY, 10, r"(?:totaal|eind|factuur)\s?(?:bedrag|totaal)|(?:totaal\s+)?te\s+(?:betalen|voldoen)(?:\s+bedrag)?|totaal\s+(?:te\s+betalen|te\s+voldoen|verschuldigd|factuur)|verschuldigd\s+bedrag"),
    ("total", Kind.MONEY, 10, r"att\s+betala|summa\s+att\s+betala|do\s+zaplaty|razem\s+do\s+zaplaty|k\s+uhrade|at\s+betale|fizetendo|total\s+a\s+pagar"),
    ("total", Kind.MONEY, 10, r"maksettava(?:a)?(?:\s+yhteensa)?|loppusumma|odenecek\s+tutar|genel\s+toplam|total\s+de\s+plata|(?:castka|celkem)\s+k\s+uhrade"),
    ("total", Kind.MONEY, 10, rf"{_SUM}\s*[,(/]?\s*{_GROSS}{_WITH_TAX}|bruttosumme|total\s+ttc"),
    ("total", Kind.MONEY, 6, r"(?:totals?|totale|totaal|gesamt|insgesamt|summe|suma|totalt|i\s+alt|celkem|razem|endbetrag|yhteensa|toplam)(?:\s+(?:eur|usd|gbp|chf|sek))?(?![a-z])"),
    ("total", Kind.MONEY, 2, r"(?:betrag|montant|importe|importo|bedrag|amount|price|preis|prix|precio|prezzo|prijs)(?![a-z])"),
    ("net", Kind.MONEY, 10, r"(?:sub|zwischen|tussen|delsum|vare)\s?-?\s?(?:total|totale|totaal|summe|sum|totals)|sous\s?-?\s?total|sub-?totaal|net(?:to)?(?:betrag|summe|wert|preis|bedrag)|warenwert|base\s+imponible|imponibile|totale\s+imponibile|nettobetrag|net\s+(?:amount|total|value|price|worth)|netto|total\s+net(?!\s+a\b)|total\s+partiel|importe\s+neto|subtotal|delsumma|summa\s+exkl"),
    ("net", Kind.MONEY, 10, rf"{_SUM}\s*[,(/]?\s*{_NET}{_WITH_TAX}"),
    ("tax", Kind.MONEY, 9, rf"(?:{_SUM}\s+)?(?:de\s+|di\s+|la\s+|sales\s+|zzgl\.?\s+|plus\s+|\+\s*)?{_TAX}(?![a-z])(?:\s+(?:amount|total|betrag|bedrag)(?=\s*[:\d€$£]|\s*$))?"),
    ("discount", Kind.MONEY, 8, r"(?:discount|rabatt|nachlass|skonto|remise|descuento|sconto|korting|rebate|credit\s+applied)(?:\s+total)?"),
    ("shipping", Kind.MONEY, 8, r"(?:shipping|freight|delivery|postage|handling|versand(?:kosten)?|porto|fracht|frais\s+de\s+(?:port|livraison)|port|envio|gastos\s+de\s+envio|spedizione|trasporto|verzendkosten)(?:\s+(?:&|and|cost|costs|fee|charge|handling|total))*"),
    ("paid", Kind.MONEY, 9, r"(?:already\s+|amount\s+|less\s+|deja\s+|bereits\s+|total\s+|payments?\s+)?(?:paid|received|bezahlt|paye|pagado|pagato|betaald|deposit|anzahlung|acompte|prepayment|anticipo|acconto|aanbetaling|regle)(?:\s+amount)?"),
    ("carried", Kind.MONEY, 10, r"(?:carried\s+(?:forward|over)|brought\s+forward|ubertrag|report(?:e)?\s+(?:a|de)|a\s+reporter|total\s+(?:hours|items|quantity|qty|units|lines|pages|weight|stunden|heures|horas|ore|uren)|previous\s+balance|opening\s+balance|page\s+total|seitensumme)"),
    ("unit_price", Kind.MONEY, 9, r"(?:unit|einzel|stuck|stuk|each|rate|hourly)\s?-?\s?(?:price|preis|prijs|cost|rate)|unit\s+cost|prix\s+unit\w*|p\.?\s?u\.?(?:\s+ht)?|precio(?:\s+unit\w*)?|prezzo(?:\s+unit\w*)?|tarief|tarif|rate(?![a-z])|e-?preis|a\s+prezzo"),
    # dates
    ("due_date", Kind.DATE, 10, r"(?:payment\s+)?due(?:\s+(?:date|on|by))?|date\s+due(?!\s+date)|pay(?:able|ment)?\s+(?:by|before|until|due)(?:\s+date)?|payment\s+date|fallig(?:keit)?(?:sdatum|s?tag)?(?:\s+(?:am|bis|zum))?|zahlbar\s+(?:bis|am)(?:\s+zum)?|zahlungsziel|zahlungstermin|date\s+(?:limite|d'echeance|de\s+paiement)(?:\s+de\s+paiement)?|echeance|a\s+(?:regler|payer)\s+avant(?:\s+le)?|(?:fecha\s+(?:de\s+)?)?vencimiento|fecha\s+limite|(?:data\s+(?:di\s+)?)?scadenza|(?:da\s+)?pagare\s+entro|verval(?:datum|dag)|(?:uiterste\s+)?betaaldatum|(?:te\s+)?betalen\s+(?:voor|uiterlijk)|forfallodato|forfallodag|termin\s+platnosci|splatnost"),
    ("invoice_date", Kind.DATE, 10, rf"{_DOC}\s?-?\s?dat(?:e|um)|date\s+(?:of\s+)?(?:issue|invoice(?!\s+n)|facture|de\s+(?:la\s+)?facture|d'emission|de\s+facturation)|(?:issue|issued|bill(?:ing)?|tax\s+point)\s*(?:date|on)?(?=\s*[:\d]|\s*$)|rechnungsdatum|ausstellungsdatum|factuurdatum|fakturadatum|fecha\s+(?:de\s+)?(?:la\s+)?(?:factura|emision|expedicion)|data\s+(?:di\s+)?(?:della\s+)?(?:fattura|emissione|documento)|date\s+issued|dated"),
    ("invoice_date", Kind.DATE, 5, r"(?:date|datum|fecha|data|dato)(?![a-z])"),
    ("other_date", Kind.DATE, 10, r"(?:delivery|service|order|ship(?:ping|ment)?|supply|leistungs|liefer|bestell|auftrags|lever|livraison|prestation|entrega|pedido|consegna|start|end|period|print(?:ed)?|birth)\s?-?\s?(?:dat(?:e|um)|zeitraum|zeitpunkt|period)|dat[ea]\s+(?:of\s+|de\s+|di\s+|d'|della\s+|del\s+)?(?:supply|delivery|service|order|livraison|commande|prestation|entrega|pedido|consegna|ordine|birth|naissance)|orderdatum|leverdatum|fecha\s+de\s+(?:entrega|pedido)"),
    # parties
    ("vendor", Kind.NAME, 9, r"(?:from(?=\s*:|\s*$)|seller|vendor|supplier|issued\s+by|billed\s+by|sold\s+by|payee|pay\s+to|payable\s+to|remit\s+to|merchant|service\s+provider|provider|absender|lieferant|verkaufer|rechnungssteller|aussteller|auftragnehmer|fournisseur|emetteur|vendeur|prestataire|emise?\s+par|proveedor|emisor|vendedor|emitido\s+por|fornitore|mittente|emittente|cedente|venditore|leverancier|verkoper|afzender|(?:van|von|de)(?=\s*:|\s*$))"),
    ("customer", Kind.NAME, 9, r"(?:bill(?:ed)?\s+to|invoice(?:d)?\s+to|sold\s+to|bill-to|customer(?:\s+name)?|client(?:\s+name)?|buyer|purchaser|attn|attention|to(?=\s*:|\s*$)|for(?=\s*:)|recipient|account\s+name|rechnung\s+an|rechnungs(?:empfanger|adresse|anschrift)|kunde(?:nname)?|kauferin?|kaufer|auftraggeber|empfanger|an(?=\s*:|\s*$)|facturee?\s+a|^(?:to|an|aan)(?=\s+[a-z][^.!?]{2,40}$)|adresse\s+de\s+facturation|destinataire|acheteur|facturar\s+a|facturado\s+a|datos\s+del\s+cliente|cliente|destinatario|comprador|spett(?:\.le|abile)?\.?|intestat[oa]\s+a|fatturare\s+a|cessionario|acquirente|klant(?:naam)?|factuur\s+aan|factuuradres|aan(?=\s*:|\s*$)|gefactureerd\s+aan|koper)"),
    ("ship_to", Kind.NAME, 9, r"(?:ship(?:ped)?\s+to|deliver(?:ed)?\s+to|lieferadresse|lieferung\s+an|adresse\s+de\s+livraison|livre\s+a|direccion\s+de\s+envio|enviar\s+a|indirizzo\s+di\s+spedizione|afleveradres|bezorgadres)"),
    # what heads a table of items, and the rest
    ("item", Kind.OTHER, 8, r"(?:descriptions?|items?|products?|services?|article|artikel|bezeichnung|beschreibung|leistung|position|pos|designation|libelle|descripcion|concepto|producto|descrizione|prodotto|omschrijving|details|particulars|activity|sku)(?![a-z])"),
    ("quantity", Kind.OTHER, 8, r"(?:qty|quantity|quantities|menge|anzahl|qte|quantite|cantidad|cant|unidades|uds|quantita|q\.?ta|aantal|units?|hours|hrs|stunden|std|heures|horas|ore|uren|pcs|stk|antal)(?![a-z])"),
    ("currency", Kind.OTHER, 8, r"(?:currency|wahrung|devise|moneda|divisa|valuta)"),
    ("terms", Kind.OTHER, 8, r"(?:payment\s+)?terms|zahlungsbedingungen|conditions(?:\s+de\s+(?:paiement|reglement))?|condiciones(?:\s+de\s+pago)?|condizioni(?:\s+di\s+pagamento)?|betalingscondities|betalingstermijn|page|seite|pagina"),
)  # fmt: skip
_WHOLE_WORD = r"(?<![a-z0-9])(?:{})(?:(?<![a-z])|(?![a-z]))"
_NO_CODE = r"(?![/-][a-z]*\d)"  # GST/26-27/0451 is an invoice's number, not a tax
_PATTERNS = tuple(
    (concept, kind, weight, re.compile(_WHOLE_WORD.format(pattern) + ("" if concept == "invoice_number" else _NO_CODE)))
    for concept, kind, weight, pattern in _TABLE
)


def labels_in(folded: str) -> list[Label]:
    """The labels of a line, from left to right, no two overlapping, none reaching over two columns."""
    found = []
    for cell in re.finditer(r"(?:(?!  ).)+", folded):
        for concept, kind, weight, pattern in _PATTERNS:
            for match in pattern.finditer(folded, cell.start(), cell.end()):
                if match.end() > match.start():
                    found.append(Label(concept, kind, weight, match.start(), match.end()))
    chosen: list[Label] = []
    for label in sorted(found, key=lambda one: (one.start - one.end, -one.weight)):
        if all(label.end <= other.start or other.end <= label.start for other in chosen):
            chosen.append(label)
    return sorted(chosen, key=lambda one: one.start)

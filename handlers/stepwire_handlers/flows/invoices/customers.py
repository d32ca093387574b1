"""The companies that the demo's invoices come from: data, the table they fill, and how one is looked up.

All of them, their people and their addresses are invented. Two of the senders of the samples are not a
clean match: one is missing here, and one name fits two rows.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from stepwire_handlers.steps.sql_literal import literal

Column = Literal["name", "aliases", "account_manager", "email", "slack_channel", "terms"]
COLUMNS: tuple[Column, ...] = ("name", "aliases", "account_manager", "email", "slack_channel", "terms")

TABLE = """\
CREATE TABLE IF NOT EXISTS customers (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    aliases text[] NOT NULL,
    account_manager text NOT NULL,
    email text NOT NULL,
    slack_channel text NOT NULL,
    terms text NOT NULL
);
"""

#: finds the rows for a company's name as it stands on an invoice; read-only, one parameter
LOOKUP_SQL = (
    "SELECT name, account_manager, email, slack_channel, terms FROM customers "
    "WHERE lower(name) = lower($1) OR lower($1) IN (SELECT lower(alias) FROM unnest(aliases) AS alias) "
    "ORDER BY name"
)


class Customer(TypedDict):
    """One row of the table `customers`, without its id."""

    name: str
    aliases: list[str]
    account_manager: str
    email: str
    slack_channel: str
    terms: str


def _row(name: str, aliases: list[str], account_manager: str, email: str, slack_channel: str, terms: str) -> Customer:
    return Customer(
        name=name,
        aliases=aliases,
        account_manager=account_manager,
        email=email,
        slack_channel=slack_channel,
        terms=terms,
    )


CUSTOMERS: tuple[Customer, ...] = (
    _row(
        "Harbor & Pine Supply Co.",
        ["Harbor & Pine", "Harbor and Pine Supply"],
        "Tessa Okafor",
        "billing@harborpine.example",
        "#ap-americas",
        "net 30",
    ),
    _row(
        "Kessler Feinmechanik GmbH",
        ["Kessler Feinmechanik"],
        "Jonas Reimann",
        "buchhaltung@kessler-fm.example",
        "#ap-dach",
        "14 Tage netto",
    ),
    _row(
        "Atelier Brunoy SARL",
        ["Atelier Brunoy"],
        "Margaux Lenoir",
        "compta@atelier-brunoy.example",
        "#ap-south",
        "30 jours fin de mois",
    ),
    _row(
        "Calder & Wray Engineering Ltd",
        ["Calder & Wray", "Calder and Wray Engineering"],
        "Tessa Okafor",
        "accounts@calderwray.example",
        "#ap-uk",
        "net 30",
    ),
    _row(
        "Alpenblick Treuhand AG",
        ["Alpenblick Treuhand"],
        "Jonas Reimann",
        "faktura@alpenblick.example",
        "#ap-dach",
        "30 Tage netto",
    ),
    _row(
        "Talleres Ibarra S.L.",
        ["Talleres Ibarra", "Talleres d'Ibarra"],
        "Margaux Lenoir",
        "facturas@talleres-ibarra.example",
        "#ap-south",
        "60 días",
    ),
    _row(
        "Officine Rovati S.r.l.",
        ["Officine Rovati"],
        "Margaux Lenoir",
        "amministrazione@rovati.example",
        "#ap-south",
        "30 giorni data fattura",
    ),
    _row(
        "Van der Meulen Logistiek B.V.",
        ["Van der Meulen Logistiek", "VdM Logistiek"],
        "Jonas Reimann",
        "facturatie@vdmeulen.example",
        "#ap-benelux",
        "14 dagen",
    ),
    _row(
        "Minato Paper Goods K.K.",
        ["Minato Paper Goods", "Minato Paper"],
        "Haruka Senda",
        "keiri@minatopaper.example",
        "#ap-asia",
        "on receipt",
    ),
    _row(
        "Norrsken Data AB",
        ["Norrsken Data"],
        "Tessa Okafor",
        "faktura@norrsken-data.example",
        "#ap-nordics",
        "net 20",
    ),
    _row(
        "Nordlicht Energie GmbH",
        ["Nordlicht Energie"],
        "Jonas Reimann",
        "service@nordlicht-energie.example",
        "#ap-dach",
        "14 Tage netto",
    ),
    _row(
        "Nordlicht Energie Süd GmbH",
        ["Nordlicht Energie", "Nordlicht Süd"],
        "Margaux Lenoir",
        "sued@nordlicht-energie.example",
        "#ap-south",
        "30 Tage netto",
    ),
)


def find(vendor: str) -> list[Customer]:
    """The rows whose name or one of whose aliases is `vendor`, in any case: what `LOOKUP_SQL` finds."""
    wanted = vendor.strip().lower()
    return [row for row in CUSTOMERS if wanted in {known.lower() for known in (row["name"], *row["aliases"])}]


def customers_sql() -> str:
    """PostgreSQL that makes the table `customers` and fills it; run again it changes nothing.

    The ids are written out, so that it also fills a table whose ids have no default; where they have one, its
    sequence is moved past them.
    """
    rows = ",\n    ".join(
        f"({number}, {', '.join(literal(row[column]) for column in COLUMNS)})"
        for number, row in enumerate(CUSTOMERS, start=1)
    )
    return (
        f"{TABLE}INSERT INTO customers (id, {', '.join(COLUMNS)}) VALUES\n    "  # noqa: S608 - literals only
        f"{rows}\nON CONFLICT DO NOTHING;\n"
        "SELECT setval(pg_get_serial_sequence('customers', 'id'), (SELECT max(id) FROM customers));\n"
    )

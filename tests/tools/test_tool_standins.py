from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from tests.tools.surroundings import SEED, StandIns, standins_process

from stepwire_handlers.standins import database

SLACK = {"Authorization": "Bearer xoxb-stand-in"}
GMAIL = {"Authorization": "Bearer ya29.stand-in"}


def post(standins: StandIns, channel: str = "#invoices", text: str = "paid", **options: Any) -> httpx2.Response:
    options = {"headers": SLACK, "json": {"channel": channel, "text": text}} | options
    return httpx2.post(f"{standins.url}/api/chat.postMessage", **options)


def draft(standins: StandIns, mime: bytes, headers: dict[str, str] = GMAIL) -> httpx2.Response:
    raw = base64.urlsafe_b64encode(mime).decode().rstrip("=")
    url = f"{standins.url}/gmail/v1/users/me/drafts"
    return httpx2.post(url, headers=headers, json={"message": {"raw": raw}})


def test_what_was_received_lies_in_files_that_a_person_can_open(new_standins: StandIns) -> None:
    """Messages are Markdown, drafts are mails; the names say in which order and to whom."""
    standins = new_standins
    post(standins, text="INV-7 is paid\n\nthanks")
    post(standins, channel="C042")
    draft(standins, b"To: ap@globex.example\r\nSubject: paid\r\n\r\nDear Globex\r\n")
    names = sorted(path.name for path in standins.folder.rglob("*") if path.is_file())
    assert names == ["0001-#invoices.md", "0001-ap@globex.example.eml", "0002-C042.md"]
    written = (standins.folder / "slack" / "0001-#invoices.md").read_text()
    assert written.startswith("channel: #invoices\nts: ") and written.endswith("\n\nINV-7 is paid\n\nthanks\n")
    assert (standins.folder / "drafts" / names[1]).read_bytes().startswith(b"To: ap@globex.example\r\n")
    assert [message["text"] for message in standins.received("slack/messages")] == ["INV-7 is paid\n\nthanks", "paid"]
    (received,) = standins.received("gmail/drafts")
    assert (received["to"], received["subject"], received["body"].strip()) == (
        "ap@globex.example",
        "paid",
        "Dear Globex",
    )
    assert httpx2.get(standins.url).json() == {"slack": 2, "drafts": 1}


def test_the_count_goes_on_after_a_restart(tmp_path: Path) -> None:
    """After kill -9, a new process loses and overwrites nothing."""
    for number in (1, 2):
        with standins_process(tmp_path) as standins:
            post(standins)
            assert [message["number"] for message in standins.received("slack/messages")] == [1, 2][:number]


def test_a_label_cannot_leave_the_folder(standins: StandIns) -> None:
    """A recipient is text of strangers, also in a file's name."""
    draft(standins, b"To: ../../etc/passwd <a/b@x.example>\r\n\r\nx")
    (received,) = standins.received("gmail/drafts")
    assert received["file"].partition("-")[2] == ".._.._etc_passwd_a_b@x.example_.eml"
    assert (standins.folder / "drafts" / received["file"]).is_file()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"headers": {"Authorization": "Bearer wrong"}}, "invalid_auth"),
        ({"headers": {}}, "not_authed"),
        ({"json": {"channel": "", "text": "x"}}, "channel_not_found"),
        ({"json": {"channel": "#a\nts: 1", "text": "x"}}, "channel_not_found"),
        ({"json": {"channel": "#a"}}, "no_text"),
        ({"json": [1]}, "channel_not_found"),
    ],
)
def test_slack_says_no_as_slack_does(options: dict[str, Any], error: str, standins: StandIns) -> None:
    """Status 200, `ok: false`, and Slack's word for it; nothing is kept."""
    response = post(standins, **options)
    assert (response.status_code, response.json()) == (200, {"ok": False, "error": error})
    assert standins.received("slack/messages") == []


def test_slack_takes_forms_too(standins: StandIns) -> None:
    """Older clients send forms, not JSON."""
    form = {"channel": "#a", "text": "x & y"}
    assert httpx2.post(f"{standins.url}/api/chat.postMessage", headers=SLACK, data=form).json()["ok"]
    assert httpx2.post(f"{standins.url}/api/auth.test", headers=SLACK).json()["ok"]
    assert standins.received("slack/messages")[0]["text"] == "x & y"


def test_gmail_says_no_as_gmail_does(standins: StandIns) -> None:
    """An error object with code, status and reason; nothing is kept."""
    wrong = draft(standins, b"To: x\r\n\r\n", {"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401 and wrong.json()["error"]["status"] == "UNAUTHENTICATED"
    url = f"{standins.url}/gmail/v1/users/me/drafts"
    bad = httpx2.post(url, headers=GMAIL, json={"message": {"raw": "!"}})
    assert bad.status_code == 400 and bad.json()["error"]["errors"][0]["reason"] == "invalidArgument"
    assert httpx2.get(f"{url}/r-9999", headers=GMAIL).status_code == 404
    assert standins.received("gmail/drafts") == []


def test_a_draft_is_given_back_as_it_came(standins: StandIns) -> None:
    """Bytes in, the same bytes out, in Gmail's encoding."""
    mime = b"To: a@x.example\r\n\r\n\xff\xfe bytes"
    made = draft(standins, mime).json()
    got = httpx2.get(f"{standins.url}/gmail/v1/users/me/drafts/{made['id']}", headers=GMAIL).json()
    assert base64.urlsafe_b64decode(got["message"]["raw"]) == mime


def test_faults_come_as_often_as_they_were_asked_for(standins: StandIns) -> None:
    """Two calls meet a 429 with Retry-After, the third works; the other API is not concerned."""
    standins.fault(api="slack", status=429, times=2, retry_after=1.5)
    assert draft(standins, b"To: x\r\n\r\n").status_code == 200
    responses = [post(standins) for _ in range(3)]
    assert [response.status_code for response in responses] == [429, 429, 200]
    assert responses[0].headers["retry-after"] == "1.5" and responses[0].json()["error"] == "ratelimited"
    assert httpx2.post(f"{standins.url}/faults", params={"api": "fax"}).status_code == 400


def test_the_database_keeps_its_customers(tmp_path: Path, dsn: str) -> None:
    """The seed fills an empty table and is not run again; the reader may read and nothing else."""
    folder = Path(dsn.partition("host=")[2])
    assert database.start(folder, SEED) == dsn
    with psycopg.connect(database.reader(dsn), autocommit=True) as connection:
        rows = connection.execute("SELECT name, aliases FROM customers ORDER BY id").fetchall()
        assert rows[0] == ("Globex Supplies Ltd.", ["Globex", "GSL"]) and len(rows) == 3
        for sql in ("DELETE FROM customers", "CREATE TABLE t (x int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.encode())

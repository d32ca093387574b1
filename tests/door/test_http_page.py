"""The page `docs/http.md`: every `curl` on it works as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from tests.door.doors import APPS, ROOT, Doors

from stepwire_handlers.services.door.access import load_access, new_key

PAGE = (ROOT / "docs" / "http.md").read_text("utf-8")
FLOWS = ("stepwire_handlers.flows.support:app", "stepwire_handlers.flows.invoices:app")
QUICK = 'curl() { command curl -sS --fail-with-body --max-time 15 "$@"; }\n'


def first(url: str, key: str, page: str, name: str) -> str:
    """The id of the first thing that waits there, once a worker has come so far."""
    end = time.monotonic() + 20
    while not (found := httpx2.get(url + page, headers={"x-api-key": key}).json()[name]):
        assert time.monotonic() < end
        time.sleep(0.05)
    return str(found[0]["id"])


@pytest.mark.slow
def test_the_curl_lines_do_what_the_page_says(doors: Doors, tmp_path: Path, service: Callable[..., None]) -> None:
    """Each block, in order, with a key that has all roles, against a door as the page opens it."""
    service("curl", shutil.which("curl"))
    key, hash_ = new_key()
    roles = 'roles = { "*" = ["operator", "approver"] }'
    (tmp_path / "access.toml").write_text(f'[[keys]]\nname = "crm"\nhash = "{hash_}"\n{roles}\n')
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF-1.7")
    _, url = doors.door("--access", str(tmp_path / "access.toml"), apps=(*FLOWS, *APPS))
    doors.worker()
    runs = [httpx2.post(f"{url}/apps/shop/Order", json={"n": n}, headers={"x-api-key": key}) for n in (500, -1)]
    surroundings = {
        "DOOR": url, "KEY": key, "RUN": runs[0].json()["run"], "PATH": "/usr/local/bin:/usr/bin:/bin",
        "GATE": first(url, key, "/gates", "gates"), "LETTER": first(url, key, "/dead-letters", "dead_letters"),
    }  # fmt: skip
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    said = []
    for block in blocks:
        done = subprocess.run(
            ["bash", "-ec", QUICK + block], cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        said.append(done.stdout)
    assert len(said) >= 11 and "location: /runs/" in said[0] and said[4].count('"repeated":true') == 1
    assert '"state":"failed"' in said[8] and "event: state" in said[9]


def test_the_access_file_of_the_page_is_one(tmp_path: Path) -> None:
    """With a real hash in it, it is read."""
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "access.toml"
    path.write_text(text.replace("sha256:…", new_key()[1]))
    access = load_access(path)
    assert access.keys[0].name == "crm" and access.oidc and access.proxy and "group:finance" in access.grants

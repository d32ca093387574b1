"""What a secured cluster is reached with: refused before anything connects where it cannot work, and never shown."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stepwire.errors import SettingsError
from stepwire_handlers.kafka_client import TOKEN, options

SASL = {"security.protocol": "SASL_PLAINTEXT"}


@pytest.mark.anyio
async def test_a_token_is_read_anew_from_its_file(tmp_path: Path) -> None:
    """A token that was renewed in its file is the one that the next connection sends."""
    file = tmp_path / "token"
    file.write_text("first\n")
    provider = options({**SASL, "sasl.mechanism": "OAUTHBEARER", TOKEN: str(file)})["sasl_oauth_token_provider"]
    assert await provider.token() == "first"
    file.write_text("second\n")
    assert await provider.token() == "second"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"security.protocol": "SASL-SSL"}, "security.protocol SASL-SSL: there are PLAINTEXT"),
        ({**SASL, "sasl.mechanism": "SCRAM"}, "sasl.mechanism SCRAM: there are PLAIN"),
        ({**SASL, "sasl.username": "u"}, "needs sasl.password"),
        ({**SASL, "sasl.mechanism": "GSSAPI"}, "pip install gssapi"),
        ({**SASL, "sasl.mechanism": "SCRAM-SHA-512", "sasl.password": "hunter2"}, "needs sasl.username"),
        ({"security.protocol": "SSL", "ssl.key.location": "k.pem"}, "needs ssl.certificate.location"),
        ({**SASL, "sasl.mechanism": "OAUTHBEARER"}, f"needs {TOKEN}"),
        ({**SASL, "sasl.mechanism": "OAUTHBEARER", TOKEN: "/nowhere/token"}, "/nowhere/token cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(properties: dict[str, str], said: str) -> None:
    """A wrong or missing property is one line that names it, with no secret in it."""
    with pytest.raises(SettingsError) as refused:
        options(properties)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value) and "hunter2" not in str(refused.value)


@pytest.mark.slow
def test_nobody_is_asked_for_the_password_of_a_key(tmp_path: Path) -> None:
    """An encrypted key without its password is refused, also where a terminal or pipe could be asked for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem, locked = serialization.Encoding.PEM, serialization.BestAvailableEncryption(b"hunter2")
    file = tmp_path / "client.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked)
        + certificate.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    script = (
        "import sys\nfrom stepwire_handlers.kafka_client import options\n"
        "options({'security.protocol': 'SSL', 'ssl.certificate.location': sys.argv[1]})\n"
    )
    silent, kept = os.pipe()  # stays open and says nothing: whoever reads from it waits
    try:
        command = [sys.executable, "-c", script, str(file)]
        done = subprocess.run(
            command, stdin=silent, stderr=subprocess.PIPE, text=True, check=False, timeout=10, start_new_session=True
        )
    finally:
        os.close(silent)
        os.close(kept)
    assert "SettingsError: TLS files cannot be used" in done.stderr
    assert "hunter2" not in done.stderr

"""Certificates of a test: an authority, the broker's, a client's, and one of an authority that nobody knows.

In: a folder. Out: PEM files. Good for an hour.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM
HOSTS: dict[str, list[x509.GeneralName]] = {
    "localhost": [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))],
    "elsewhere": [x509.DNSName("kafka.elsewhere.example")],
}


class Certificates:
    """Made at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.authority, self.stranger = folder / "authority.pem", folder / "stranger.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Test authority")
        _write(self.authority, self._signed(self._name, self._key, None))
        for owner in (*HOSTS, "worker"):
            self._issue(owner)
        other = ec.generate_private_key(ec.SECP256R1())
        self._key, self._name, kept = other, _name("A stranger"), (self._key, self._name)
        _write(self.stranger, self._signed(self._name, other, None))
        self._issue("impostor")
        self._key, self._name = kept

    def certificate(self, owner: str) -> Path:
        """Of a host or a user."""
        return self.folder / f"{owner}.crt"

    def key(self, owner: str) -> Path:
        """Its private key."""
        return self.folder / f"{owner}.key"

    def both(self, owner: str) -> Path:
        """Key and certificate in one file, as a broker takes them."""
        return self.folder / f"{owner}.pem"

    def _issue(self, owner: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(_name(owner), key, HOSTS.get(owner, []))
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _write(self.certificate(owner), certificate)
        self.key(owner).write_bytes(private)
        self.both(owner).write_bytes(private + certificate.public_bytes(PEM))

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, hosts: list[x509.GeneralName] | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number(),
            now - timedelta(minutes=5), now + timedelta(hours=1),
        )  # fmt: skip
        builder = builder.add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(PEM))

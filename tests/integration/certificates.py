"""A certificate authority of the tests' own, and the certificates that it and others sign."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "opens the key"


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key, as files in PEM form."""

    certificate: Path
    key: Path
    encrypted_key: Path  # the same key; KEY_PASSWORD opens it

    @property
    def keystore(self) -> Path:
        """Both in one file, as a broker takes them."""
        path = self.certificate.with_suffix(".keystore.pem")
        path.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        return path


class Authority:
    """A CA that nobody trusts but who is given `file`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.file = folder / f"{name}.pem"
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, *hosts: str, expired: bool = False) -> Identity:
        """A certificate for these hosts, whose subject is CN=`name`."""
        end = datetime.now(UTC) - timedelta(days=1) if expired else None
        issued = self._ca.issue_cert(*(hosts or ("client",)), common_name=name, not_after=end)
        stem = self._folder / f"{self.file.stem}-{name}"
        identity = Identity(
            stem.with_suffix(".pem"), stem.with_suffix(".key"), stem.with_suffix(".encrypted.key")
        )
        identity.certificate.write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))
        pem = issued.private_key_pem.bytes()
        identity.key.touch(0o600)  # libpq refuses a key that others can read
        identity.key.write_bytes(_pkcs8(pem, NoEncryption()))
        encryption = BestAvailableEncryption(KEY_PASSWORD.encode())
        identity.encrypted_key.write_bytes(_pkcs8(pem, encryption))
        return identity


def _pkcs8(pem: bytes, encryption: KeySerializationEncryption) -> bytes:
    """The only form of a key in PEM that Kafka reads."""
    key = load_pem_private_key(pem, password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

"""What a form of ours carries, so that a page of another site can't make one up."""

import secrets
from datetime import timedelta
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from delivery.errors import SettingsError
from delivery.web.identity import Identity

VALID = timedelta(hours=12)
LEAST_KEY_BYTES = 32


class FormTokens:
    """Makes tokens, each for one login, and knows its own again."""

    def __init__(self, key: bytes) -> None:
        self._serializer = URLSafeTimedSerializer(key, salt="delivery form")

    def token(self, identity: Identity) -> str:
        """A token for a form that is shown to somebody."""
        return self._serializer.dumps(identity.name)

    def is_valid(self, token: str, identity: Identity | None) -> bool:
        """Whether the token was made for the login that sends it, and not too long ago."""
        try:
            name = self._serializer.loads(token, max_age=int(VALID.total_seconds()))
        except BadSignature:
            return False
        return identity is not None and bool(name == identity.name)


def key(path: Path | None) -> bytes:
    """The key of a file, or a new one. Raises SettingsError where the file's is too short."""
    if path is None:
        return secrets.token_bytes(LEAST_KEY_BYTES)
    found = path.read_bytes().strip()
    if len(found) < LEAST_KEY_BYTES:
        raise SettingsError(
            f"DELIVERY_WEB_SESSION_KEY_FILE {path} has fewer than {LEAST_KEY_BYTES} bytes: fill it "
            "with the output of `openssl rand -hex 32`"
        )
    return found

"""HTTP Basic (RFC 7617) against a file of users, as `htpasswd -B` writes it."""

import base64
import binascii
import hashlib
import importlib
import os
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import ModuleType

from starlette.datastructures import Headers
from starlette.types import Scope

from delivery.errors import SettingsError
from delivery.web.login.method import Refused

# So many names with their passwords are remembered: bcrypt is slow on purpose, and a browser sends
# the password with each request.
MOST_REMEMBERED = 1000

LONGEST_PASSWORD = 72  # bytes; bcrypt reads no more

_LEAST_COST = 4
_LINE = re.compile(r"([^:]+):(\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53})")


class UsersFile:
    """The users and the bcrypt hashes of their passwords. It is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError where the file can't be read, or has other hashes than bcrypt's."""
        self._path = path
        self._bcrypt = _bcrypt()
        self._key = secrets.token_bytes(32)
        self._version: tuple[int, int, int] | None = None
        self._hashes: dict[str, bytes] = {}
        self._nobody = b""
        self._known: set[bytes] = set()
        self._read()

    def knows(self, name: str, password: bytes) -> bool:
        """Whether it is the password of that name.

        A name that is not there takes as long as one that is. Raises SettingsError where the file
        can't be read any more.
        """
        self._read()
        # What is longer would be another password that begins like it.
        is_possible = len(password) <= LONGEST_PASSWORD and b"\0" not in password
        if not is_possible or name not in self._hashes:
            self._bcrypt.checkpw(b"", self._nobody)
            return False
        hashed = self._hashes[name]
        known = hashlib.blake2b(hashed + name.encode() + b":" + password, key=self._key).digest()
        if known in self._known:
            return True
        if not self._bcrypt.checkpw(password, hashed):
            return False
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known.add(known)
        return True

    def _read(self) -> None:
        try:
            found = self._path.stat()
            version = found.st_mtime_ns, found.st_ino, found.st_size
            if version == self._version:
                return
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is no UTF-8"
            raise SettingsError(f"DELIVERY_WEB_USERS_FILE {self._path}: {why}") from error
        hashes = dict(self._users(lines))
        costs = [int(hashed[4:6]) for hashed in hashes.values()]
        salt = self._bcrypt.gensalt(max(costs, default=_LEAST_COST))
        self._nobody = self._bcrypt.hashpw(secrets.token_bytes(16), salt)
        self._hashes = hashes
        self._version = version

    def _users(self, lines: list[str]) -> Iterator[tuple[str, bytes]]:
        for number, line in enumerate(map(str.strip, lines), 1):
            if not line or line.startswith("#"):
                continue
            found = _LINE.fullmatch(line)
            if found is None:  # the line may hold a password, and is not repeated
                raise SettingsError(
                    f"DELIVERY_WEB_USERS_FILE {self._path}: line {number} is no NAME:HASH with a "
                    "hash of bcrypt, as `htpasswd -nB NAME` prints it"
                )
            yield found[1], found[2].encode()


@dataclass(frozen=True)
class Basic:
    """A name and a password with each request."""

    users: UsersFile
    challenge: str | None = 'Basic realm="delivery", charset="UTF-8"'
    open_paths: Collection[str] = ()

    def who(self, scope: Scope, headers: Headers) -> tuple[str, Collection[str]] | Refused:
        """The name, and no groups."""
        del scope
        given = _name_and_password(headers.get("authorization", ""))
        if given is None or not self.users.knows(*given):
            return Refused(HTTPStatus.UNAUTHORIZED, "log in with your name and password")
        return given[0], ()


def _name_and_password(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, separator, password = base64.b64decode(encoded, validate=True).partition(b":")
        return (name.decode(), password) if separator else None
    except (binascii.Error, ValueError):  # also UnicodeDecodeError
        return None


def _bcrypt() -> ModuleType:
    """The library, which only this way to log in needs."""
    try:
        return importlib.import_module("bcrypt")
    except ModuleNotFoundError:
        raise SettingsError(
            "DELIVERY_WEB_LOGIN is basic, which needs bcrypt: pip install 'delivery[login]'"
        ) from None

"""A month's text as a compressed file: written, and read again row by row. Memory is constant.

CSV as PostgreSQL's COPY writes it, in one frame of Zstandard: `zstd -dc FILE` gives what `COPY ...
FROM STDIN (FORMAT csv, HEADER)` takes.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO, NamedTuple

import zstandard

from delivery.errors import SettingsError

LEVEL = 3

# So much compressed text is expanded at once. Text that repeats itself may be a thousand times it.
CHUNK_BYTES = 16_384

# A payload may be as long as PostgreSQL takes it; csv stops at 131,072 characters by itself.
_LONGEST_FIELD = 2**31 - 1


class Digest(NamedTuple):
    """How long some bytes are, and their SHA-256 in hexadecimal digits."""

    bytes: int
    sha256: str


class Written(NamedTuple):
    """What a file holds: the file itself, and the text in it."""

    file: Digest
    text: Digest


class _Tap:
    """Counts and hashes what passes."""

    def __init__(self) -> None:
        self._bytes = 0
        self._hash = hashlib.sha256()

    def pass_on(self, data: bytes) -> bytes:
        self._bytes += len(data)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> Digest:
        return Digest(self._bytes, self._hash.hexdigest())


def write(to: IO[bytes], text: Iterable[bytes]) -> Written:
    """Compresses the text. The same text gives the same bytes, by the same version of zstd."""
    file, content = _Tap(), _Tap()
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    for chunk in text:
        to.write(file.pass_on(compressor.compress(content.pass_on(chunk))))
    to.write(file.pass_on(compressor.flush()))
    return Written(file.digest, content.digest)


class Reader:
    """Reads a file's rows. Raises SettingsError with its name where it is damaged or cut."""

    def __init__(self, source: BinaryIO, name: str) -> None:
        self._source, self._name = source, name
        self._file, self._text = _Tap(), _Tap()
        csv.field_size_limit(_LONGEST_FIELD)
        stream = io.BufferedReader(_Stream(self._expanded()))
        self._rows = csv.reader(io.TextIOWrapper(stream, "utf-8", newline=""), strict=True)
        self.columns = next(self.rows(), [])

    def rows(self) -> Iterator[list[str]]:
        """The rows that were not read yet; an empty text is null."""
        try:
            yield from self._rows
        except (zstandard.ZstdError, csv.Error, UnicodeDecodeError) as error:
            raise SettingsError(f"{self._name} is damaged, or no archive: {error}") from error

    @property
    def read(self) -> Written:
        """What was read, once all rows were."""
        return Written(self._file.digest, self._text.digest)

    def _expanded(self) -> Iterator[bytes]:
        frame = zstandard.ZstdDecompressor().decompressobj()
        while chunk := self._source.read(CHUNK_BYTES):
            if frame.eof:
                raise SettingsError(f"{self._name} goes on behind its end")
            yield self._text.pass_on(frame.decompress(self._file.pass_on(chunk)))
        if not frame.eof or frame.unused_data:
            raise SettingsError(f"{self._name} is cut off, or was not written to its end")


class _Stream(io.RawIOBase):
    """Chunks as a stream that Python's own readers take."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            if (chunk := next(self._chunks, None)) is None:
                return 0
            self._rest = chunk
        length = min(len(buffer), len(self._rest))
        buffer[:length], self._rest = self._rest[:length], self._rest[length:]
        return length

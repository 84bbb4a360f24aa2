"""The folder that the files go to. A file has its name once it is whole, read back and on disk."""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from delivery.archive import compressed
from delivery.archive.compressed import Reader, Written
from delivery.archive.manifest import file_name
from delivery.domain.month import Month
from delivery.errors import SettingsError, UnavailableError

UNFINISHED = ".unfinished"


class Folder:
    """A folder that nobody else archives to: see `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._published: list[Path] = []  # by the last `publish`, if it made the file

    def write(self, month: Month, text: Iterable[bytes]) -> Written:
        """Writes the month's text to a file without its final name, and on disk."""
        with _on_disk(self._unfinished(month)) as file:
            return compressed.write(file, text)

    def read_back(self, month: Month, written: Written) -> int:
        """The number of rows in what was written. Raises UnavailableError if it reads otherwise."""
        path = self._unfinished(month)
        with path.open("rb") as file:
            _forget_cache(file.fileno())
            try:
                reader = Reader(file, str(path))
                rows = sum(1 for _ in reader.rows())
            except SettingsError as error:
                raise UnavailableError(str(error)) from error
        if reader.read != written:
            raise UnavailableError(f"{path} reads otherwise than it was written")
        return rows

    def next_part(self, month: Month, part: int, written: Written) -> int:
        """The first part from `part` on whose name is free, or has this very file already.

        A file that the database knows nothing of is never replaced: a run may have been interrupted
        before its commit, or it is another database's.
        """
        while (path := self.path / file_name(month, part)).exists():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == written.file.sha256:
                    break
            part += 1
        return part

    def publish(self, month: Month, part: int, manifest: str) -> None:
        """Gives the file its name, beside its manifest. Both are on disk then."""
        path = self.path / file_name(month, part)
        beside = path.with_name(path.name.removesuffix(".csv.zst") + ".json")
        self._published = []
        unfinished = beside.with_name(beside.name + UNFINISHED)
        with _on_disk(unfinished) as file:
            file.write(manifest.encode())
        unfinished.rename(beside)
        if not path.exists():
            self._unfinished(month).rename(path)
            self._published = [path, beside]
        _sync(self.path)

    def retract(self) -> None:
        """Removes what was published last, where it is known that the database did not commit."""
        for path in self._published:
            path.unlink(missing_ok=True)
        self._published = []

    def clear(self) -> None:
        """Removes what was not finished, also by a run that was killed."""
        for path in self.path.glob(f"processed_events-*{UNFINISHED}"):
            path.unlink()

    def _unfinished(self, month: Month) -> Path:
        return self.path / (file_name(month, 1) + UNFINISHED)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """The folder, made if only it is missing, and no other archive's until the end.

    Raises SettingsError where it can't be had, UnavailableError where the disk is full or fails.
    """
    try:
        path.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SettingsError(f"--to {path}: {error.strerror}") from error
    folder = Folder(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.clear()
        try:
            yield folder
        finally:
            folder.clear()
    except BlockingIOError:
        raise SettingsError(f"--to {path}: another `delivery archive` writes to it") from None
    except PermissionError as error:
        raise SettingsError(f"--to {path}: {error.strerror}") from error
    except OSError as error:
        raise UnavailableError(f"--to {path}: {error.strerror or error}") from error
    finally:
        os.close(descriptor)


@contextmanager
def _on_disk(path: Path) -> Iterator[BinaryIO]:
    """A new file, whose bytes are on the disk at the end."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _forget_cache(descriptor: int) -> None:
    """Has the disk read, and not the memory that still holds what was written."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

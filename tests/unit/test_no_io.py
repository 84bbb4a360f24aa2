"""That this folder's conftest sees what a test opens."""

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "does_io",
    [
        socket.socket,
        lambda: subprocess.run(["true"], check=True),
        lambda: Path("/etc/hostname").read_text(),
        lambda: Path("/tmp/delivery-unit").write_text(""),
        lambda: Path("/tmp/delivery-unit").mkdir(),
    ],
    ids=["a socket", "a process", "a file read", "a file written", "a folder"],
)
def test_a_test_that_does_io_fails(does_io: Callable[[], object]) -> None:
    with pytest.raises(BaseException, match="a test in tests/unit does no I/O"):
        does_io()


def test_a_thread_is_a_part_of_its_test() -> None:
    seen: list[BaseException] = []

    def open_a_socket() -> None:
        try:
            socket.socket()
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=open_a_socket)
    thread.start()
    thread.join()
    assert "no I/O" in str(seen[0])

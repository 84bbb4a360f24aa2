"""Why PostgreSQL refuses a connection, in one line that names the setting.

psycopg knows no SQLSTATE of a connection that failed, and the server says the rest in the language
of its `lc_messages`. libpq tells the code where it is asked to, by a function that psycopg leaves
out: a second try asks. It is made after a failed one, by a process that starts, and never by one
that tries again. What libpq and OpenSSL say themselves is English: Python sets the locale of
messages for nobody. Where neither is sure the fault may be the moment's, and a later try may work.
"""

import ctypes
import re
import select
import sys
import time
from collections.abc import Iterator
from ctypes.util import find_library

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus, PollingStatus

from delivery.postgres.sqlstate import advice_for_login

TIMEOUT_S = 5.0  # for one host

VERBOSE = 2  # PQERRORS_VERBOSE: a line of the server has its SQLSTATE, between two colons
_OF_SERVER = re.compile(r"^.*: +(?P<sqlstate>[0-9A-Z]{5}): .*$", re.MULTILINE)

# What libpq and OpenSSL say, and what to do. OpenSSL's alerts are the server's word about us.
_ADVICE = {
    r"server does not support SSL": "sslmode there asks for TLS, which the server has not",
    r"certificate verify failed": (
        "sslrootcert there has to be the CA that signed the server's certificate, which has to be "
        "in date"
    ),
    r"does not match host name|host name from server certificate": (
        "the host there has to be a name that is in the server's certificate"
    ),
    r"root certificate file": "sslrootcert there has to be a CA's certificate, in PEM form",
    r"private key|could not (read|load) certificate": (
        "sslcert and sslkey there have to be a certificate and its key, readable by us alone"
    ),
    r"alert .*(certificate|unknown ca|handshake failure|access denied)": (
        "sslcert there has to be a certificate that is in date, of a CA that the server trusts"
    ),
    r"alert protocol version|unsupported protocol|no protocols available": (
        "TLS of a version that ssl_min_protocol_version and ssl_max_protocol_version there ask for "
        "is not to be had"
    ),
    r"channel binding|authentication method requirement": (
        "channel_binding or require_auth there asks for what the server does not do"
    ),
    r"^invalid |^could not match": "correct that there",
}


def refusal(conninfo: str, error: psycopg.OperationalError) -> str | None:
    """Why each host of `conninfo` would refuse the next start too, and what to do about it.

    None where `error`, of the failed connection, or a host's answer may be otherwise by then.
    """
    if error.pgconn is None:  # no server was reached: a time that was up, a name that is not known
        return None
    refusals = [_refusal_of_host(each) for each in _by_host(conninfo)]
    return refusals[0] if all(refusals) else None


def _by_host(conninfo: str) -> Iterator[str]:
    """libpq stops at the first host that refuses: each is asked by itself."""
    parameters = conninfo_to_dict(conninfo)
    names = [name for name in ("host", "hostaddr", "port") if parameters.get(name)]
    lists = {name: str(parameters[name]).split(",") for name in names}
    for number in range(max(map(len, lists.values()), default=1)):
        own = {name: values[number % len(values)] for name, values in lists.items()}
        yield make_conninfo("", **{**parameters, **own})


def _refusal_of_host(conninfo: str) -> str | None:
    connection = _tried(conninfo)
    try:
        if connection.status == ConnStatus.OK:
            return None
        said = connection.get_error_message("utf-8")
        if connection.needs_password:
            return f"{said.splitlines()[-1]}: it has no password, and the server asks for one"
        if of_server := list(_OF_SERVER.finditer(said)):
            advice = advice_for_login(of_server[-1]["sqlstate"])
            return advice and f"{of_server[-1][0]}: {advice}"
        return next(filter(None, map(_advised, said.splitlines())), None)
    finally:
        connection.finish()


def _advised(line: str) -> str | None:
    found = (advice for pattern, advice in _ADVICE.items() if re.search(pattern, line))
    return next((f"{line}: {advice}" for advice in found), None)


def _tried(conninfo: str) -> pq.abc.PGconn:
    """The connection after one try, in which the server's errors have their SQLSTATE."""
    connection = pq.PGconn.connect_start(conninfo.encode())
    _set_verbosity(connection)
    deadline = time.monotonic() + TIMEOUT_S
    status = PollingStatus.WRITING
    while status in _EVENTS and connection.status != ConnStatus.BAD:
        poll = select.poll()
        poll.register(connection.socket, _EVENTS[status])
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            break
        status = PollingStatus(connection.connect_poll())
    return connection


_EVENTS = {PollingStatus.READING: select.POLLIN, PollingStatus.WRITING: select.POLLOUT}


def _set_verbosity(connection: pq.abc.PGconn) -> None:
    """Without it, where libpq is not found, the server's refusals are as its silence."""
    module = sys.modules.get(f"psycopg_{pq.__impl__}.pq")  # linked to libpq; none: by ctypes too
    path = module.__file__ if module else find_library("pq")
    try:
        set_verbosity = ctypes.CDLL(path).PQsetErrorVerbosity
    except (OSError, AttributeError, TypeError):
        return
    set_verbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
    pointer = connection.pgconn_ptr  # type: ignore[attr-defined]  # public, and not in the protocol
    set_verbosity(pointer, VERBOSE)

"""What a server speaks: asked once, after it closed a connection without a word."""

import socket
import ssl

from kafka.errors import KafkaError
from kafka.protocol.metadata import ApiVersionsRequest
from kafka.protocol.parser import KafkaProtocol

TIMEOUT_S = 1.0


def speaks_tls(server: str) -> bool:
    """Whether `server`, a host and a port, answers TLS's first message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent over this connection
    try:
        with _connected(server) as connection, context.wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # a refusal, in TLS
    except OSError:
        return False


def speaks_plaintext(server: str) -> bool:
    """Whether `server` answers Kafka's first request without TLS."""
    protocol = KafkaProtocol(client_id="delivery")
    protocol.send_request(ApiVersionsRequest(version=0))
    try:
        with _connected(server) as connection:
            connection.sendall(protocol.send_bytes())
            return bool(protocol.receive_bytes(connection.recv(4096)))
    except (OSError, ValueError, KafkaError):
        return False


def _connected(server: str) -> socket.socket:
    host, _, port = server.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_S)

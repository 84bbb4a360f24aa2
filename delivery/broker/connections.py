"""Connections to Kafka's brokers that say why they fail, and do not knock at a closed door.

kafka-python tries again for its whole bootstrap timeout and raises the same KafkaTimeoutError for a
wrong password, an expired certificate and a closed port. Each try is a login: eight in 10 s, which
locks accounts. In mid-run it tries a refused login again without any pause.
"""

import time
import weakref
from functools import partial
from typing import Any, NamedTuple

import structlog
from kafka.errors import NodeNotReadyError, SaslAuthenticationFailedError
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.connection import KafkaConnection
from kafka.net.selector import NetworkSelector

from delivery.broker.internals import ConnectionManager
from delivery.broker.refusals import Explained, Failure, explained, probed
from delivery.errors import SettingsError, UnavailableError
from delivery.settings import KafkaSettings

log = structlog.get_logger()

_SERVERS = "DELIVERY_KAFKA_BOOTSTRAP_SERVERS"

# At start: a connection that is not there by then counts as failed, and another server is tried.
CONNECT_TIMEOUT_MS = 5000

# At start a closed port is tried again for so long, so often: the broker may be about to come.
PATIENCE_S = 1.0
RETRY_EVERY_S = 0.2

# In mid-run a refused login is tried again after so long, doubled each time: accounts get locked.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


class Pause(NamedTuple):
    """Until when (monotonic) no connection is tried, and how many seconds that is in all."""

    until: float = 0.0
    seconds: float = 0.0


class Refused(NamedTuple):
    """Why a connection failed, and when (monotonic)."""

    error: Explained
    at: float
    is_login: bool


class Connections(ConnectionManager):
    """kafka-python's connections, watched.

    Until a broker has answered, `get_connection` raises SettingsError or UnavailableError as soon
    as it is known why none does. Afterwards `refusal` tells who keeps us out.
    """

    def __init__(self, settings: KafkaSettings, net: NetworkSelector, **config: Any) -> None:
        self.settings = settings
        self._refused: dict[object, Refused] = {}
        self._put_out_by: set[object] = set()
        self._pause = Pause()
        self._begun = time.monotonic()
        self._warned_at = 0.0
        self._watched = weakref.WeakSet[KafkaConnection]()
        super().__init__(net, **config)

    @property
    def refusal(self) -> str | None:
        """Why a broker refuses us at present; None where none does, reached or not."""
        since = time.monotonic() - 2 * LONGEST_PAUSE_S  # what is older nobody asks for any more
        for refused in list(self._refused.values()):
            if isinstance(refused.error, SettingsError) and refused.at > since:
                return str(refused.error)
        return None

    def connection_delay(self, node_id: object) -> float:
        """Seconds until a connection may be tried."""
        now = time.monotonic()
        if not self.bootstrapped:
            refused = self._refused.get(node_id)
            return max(0.0, refused.at + RETRY_EVERY_S - now) if refused else 0.0
        delay: float = super().connection_delay(node_id)
        return max(delay, self._pause.until - now)

    def get_connection(
        self, node_id: object, timeout_ms: float | None = None, **options: Any
    ) -> KafkaConnection:
        """The connection to a broker, which may still be on its way."""
        if not self.bootstrapped:
            self._give_up_where_all_failed()
            timeout_ms = min(timeout_ms or CONNECT_TIMEOUT_MS, CONNECT_TIMEOUT_MS)
        try:
            connection = super().get_connection(node_id, timeout_ms=timeout_ms, **options)
        except NodeNotReadyError as error:
            refused = self._refused.get(node_id)
            raise error from (refused.error if refused else None)
        if connection not in self._watched:
            self._watch(node_id, connection)
        return connection

    def send(self, request: Any, node_id: object = None, **options: Any) -> Future:
        """The future of a broker's answer."""
        answer = super().send(request, node_id=node_id, **options)
        if not self.bootstrapped:
            answer.add_errback(partial(self._put_out, node_id))
        return answer

    def partitions_of(self, topic: str, timeout_ms: float) -> frozenset[int]:
        """Asks for this topic by its name, and never makes it.

        Raises UnknownTopicOrPartitionError, TopicAuthorizationFailedError where the user may not
        see it, be it there or not, and KafkaTimeoutError.
        """
        deadline = time.monotonic() + timeout_ms / 1000
        while True:  # the first answer may be to a request that did not name it yet
            left_ms = max(0.0, deadline - time.monotonic()) * 1000
            self.cluster.set_topics([topic])
            self.run(self.wait_for, self.cluster.request_update(), left_ms)
            if (partitions := self.cluster.partitions_for_topic(topic)) is not None:
                return frozenset(partitions)

    def _watch(self, node_id: object, connection: KafkaConnection) -> None:
        self._watched.add(connection)
        if self._pause.seconds:  # one tries the login, the others wait for what comes of it
            self._pause = self._pause._replace(until=time.monotonic() + self._pause.seconds)
        connection.init_future.add_callback(lambda _: self._succeeded(node_id))
        connection.init_future.add_errback(partial(self._failed, node_id))

    def _succeeded(self, node_id: object) -> None:
        self._refused.pop(node_id, None)
        self._pause = Pause()

    def _put_out(self, node_id: object, error: BaseException) -> None:
        """Who comes without a login is let in, and put out at the first request. Once may be
        chance: a broker that ends.
        """
        self._failed(node_id, error, is_put_out=node_id in self._put_out_by)
        self._put_out_by.add(node_id)

    def _failed(self, node_id: object, error: BaseException, is_put_out: bool = False) -> None:
        broker = self.cluster.broker_metadata(node_id)
        if broker is None:  # it left the cluster
            return
        failure = Failure(f"{broker.host}:{broker.port}", error, is_put_out)
        why = (explained if self.bootstrapped else probed)(failure, self.settings)
        is_login = isinstance(error, SaslAuthenticationFailedError)
        self._refused[node_id] = Refused(why, time.monotonic(), is_login)
        if self.bootstrapped and is_login:
            seconds = min(max(FIRST_PAUSE_S, 2 * self._pause.seconds), LONGEST_PAUSE_S)
            self._pause = Pause(time.monotonic() + seconds, seconds)
        if self.bootstrapped and isinstance(why, SettingsError):
            self._warn(why)

    def _warn(self, why: SettingsError) -> None:
        if time.monotonic() - self._warned_at > FIRST_PAUSE_S:
            self._warned_at = time.monotonic()
            log.warning("kafka refuses us, trying again", error=str(why))

    def _give_up_where_all_failed(self) -> None:
        """A refused login is known to be refused everywhere; a certificate is each broker's own."""
        servers = {broker.node_id for broker in self.cluster.bootstrap_brokers()}
        refused = [self._refused[server] for server in servers & self._refused.keys()]
        for_good = [r for r in refused if isinstance(r.error, SettingsError)]
        if for_good and (len(refused) == len(servers) or any(r.is_login for r in for_good)):
            raise max(for_good, key=lambda r: r.is_login).error
        if len(refused) == len(servers) and time.monotonic() - self._begun > PATIENCE_S:
            reasons = dict.fromkeys(str(r.error) for r in refused)
            raise UnavailableError(f"{'; '.join(reasons)}: check {_SERVERS}")


class ClientFactory:
    """Makes what a consumer, producer or admin of kafka-python takes as its `kafka_client`."""

    connections: Connections

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: KafkaNetClient | None = None

    def __call__(self, **config: Any) -> KafkaNetClient:
        net = NetworkSelector(**config)
        self.connections = Connections(self._settings, net, **config)
        self._client = KafkaNetClient(net, self.connections)
        return self._client

    def close(self) -> None:
        """Ends what kafka-python leaves running where its constructor raises."""
        if self._client is not None:
            self._client.close()

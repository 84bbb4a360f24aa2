"""A broker as companies have it: TLS, logins, and every right denied that was not given.

Its PLAINTEXT listener is the tests' own way in: whoever comes there may do anything.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from certificates import Authority, Identity
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    NewTopic,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)
from quiet_broker import QUIET

from delivery.embedded import kafka
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.ports import HOST, free_port

PASSWORD = "right-password"
USERS = ("worker", "verifier", "publisher", "nobody")
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")

# Name of a listener: its security protocol, and the host that it is told to clients by.
LISTENERS = {
    "PLAINTEXT": ("PLAINTEXT", HOST),
    "LOGIN": ("SASL_PLAINTEXT", HOST),
    "LOGIN_TLS": ("SASL_SSL", "localhost"),
    "TLS": ("SSL", "localhost"),
    "MUTUAL_TLS": ("SSL", "localhost"),
    "OTHER_NAME": ("SSL", "localhost"),  # its certificate is for another host
    "EXPIRED": ("SSL", "localhost"),  # its certificate is
}
REAUTHENTICATE_MS = 5000
PACKAGE = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecuredKafka:
    """A running broker, the CA that its clients have to trust, and its listeners' addresses."""

    server: KafkaServer
    authority: Authority
    client: Identity
    ports: dict[str, int]

    def address(self, listener: str) -> str:
        return f"{LISTENERS[listener][1]}:{self.ports[listener]}"

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.address("PLAINTEXT"))

    def make_topic(self, name: str, partitions: int = 1) -> None:
        with closing(self.admin()) as admin:
            admin.create_topics([NewTopic(name, partitions, 1)])

    def allow(self, user: str, operation: str, kind: str, name: str) -> None:
        """Gives a right, as `kafka-acls --add` does."""
        with closing(self.admin()) as admin:
            admin.create_acls([_acl(user, operation, kind, name)])

    def forbid(self, user: str, operation: str, kind: str, name: str) -> None:
        """Takes that right away again."""
        with closing(self.admin()) as admin:
            admin.delete_acls([_acl(user, operation, kind, name)])

    def set_password(self, user: str, password: str) -> None:
        """For both kinds of SCRAM."""
        with closing(self.admin()) as admin:
            for mechanism in SCRAM:  # Kafka takes one change of a user in a request
                change = UserScramCredentialUpsertion(user, mechanism, password)
                refused = admin.alter_user_scram_credentials([change])[user]
                assert refused is None, refused


def start(folder: Path) -> SecuredKafka:
    """Starts it, with USERS whose password is PASSWORD and who have no right at all."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder, "company")
    ports = _ports([*LISTENERS, "CONTROLLER"])
    settings = QUIET | _listeners(ports) | _certificates(authority) | _logins() | _rights()
    server = kafka.start(folder / "kafka", ports["PLAINTEXT"], settings, fast_start=True)
    secured = SecuredKafka(server, authority, authority.issue("worker"), ports)
    for user in USERS:
        secured.set_password(user, PASSWORD)
    return secured


def _ports(names: list[str]) -> dict[str, int]:
    ports: set[int] = set()
    while len(ports) < len(names):
        ports.add(free_port())
    return dict(zip(names, ports, strict=True))


def _listeners(ports: dict[str, int]) -> dict[str, str]:
    controller = f"{HOST}:{ports['CONTROLLER']}"
    protocols = {name: protocol for name, (protocol, _) in LISTENERS.items()}
    bound = [f"{name}://{HOST}:{ports[name]}" for name in LISTENERS]
    told = [f"{name}://{host}:{ports[name]}" for name, (_, host) in LISTENERS.items()]
    protocols["CONTROLLER"] = "PLAINTEXT"
    return {
        "listeners": ",".join([*bound, f"CONTROLLER://{controller}"]),
        "advertised.listeners": ",".join(told),
        "controller.quorum.bootstrap.servers": controller,
        "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in protocols.items()),
    }


def _certificates(authority: Authority) -> dict[str, str]:
    right = authority.issue("broker", "localhost", HOST)
    other = authority.issue("other", "kafka.example")
    expired = authority.issue("expired", "localhost", expired=True)
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(right.keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.mutual_tls.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]*).*$/$1/,DEFAULT",
        "listener.name.other_name.ssl.keystore.location": str(other.keystore),
        "listener.name.expired.ssl.keystore.location": str(expired.keystore),
    }


def _logins() -> dict[str, str]:
    """SCRAM-SHA-512 is not enabled without TLS."""
    scram = f"{PACKAGE}.scram.ScramLoginModule required;"
    users = "".join(f' user_{user}="{PASSWORD}"' for user in USERS)
    oauth = "oauthbearer.OAuthBearerLoginModule"
    logins = {
        "plain": f"{PACKAGE}.plain.PlainLoginModule required{users};",
        "scram-sha-256": scram,
        "scram-sha-512": scram,
        "oauthbearer": f'{PACKAGE}.{oauth} required unsecuredLoginStringClaim_sub="broker";',
    }
    settings = {}
    for listener, mechanisms in {"login": [*logins][:2], "login_tls": [*logins]}.items():
        prefix = f"listener.name.{listener}"
        settings[f"{prefix}.sasl.enabled.mechanisms"] = ",".join(mechanisms).upper()
        # So often a connection logs in again: a password that was changed is noticed.
        settings[f"{prefix}.connections.max.reauth.ms"] = str(REAUTHENTICATE_MS)
        for mechanism in mechanisms:
            settings[f"{prefix}.{mechanism}.sasl.jaas.config"] = logins[mechanism]
    return settings


def _rights() -> dict[str, str]:
    """Who comes without a login is ANONYMOUS: the controller, and the tests themselves."""
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _acl(user: str, operation: str, kind: str, name: str) -> ACL:
    resource = ResourcePattern(ResourceType[kind], name)
    return ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, resource)

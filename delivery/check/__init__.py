"""Whether a worker could run here: each line says what was looked at, and what to do about it.

It only looks. It joins no group, makes no topic, takes no lock, and its transactions are read-only.
"""

from collections.abc import Iterator

from delivery import settings
from delivery.check import database, kafka
from delivery.check.line import Line, failed, ok, warning
from delivery.errors import SettingsError
from delivery.settings import AnnounceSettings, DatabaseSettings, KafkaSettings, WorkerSettings

_SET_IT = "set it in the environment, or as a file in DELIVERY_SECRETS_DIR"


def lines() -> Iterator[Line]:
    """Each as soon as it is known. A server that can't be asked leaves out what it would say."""
    yield from _of_settings()
    announces = settings.readable(AnnounceSettings)
    topic = announces.announce_topic if announces else None
    if wanted := settings.readable(DatabaseSettings):
        worker = settings.readable(WorkerSettings)
        yield from database.lines(wanted.database_url, worker, is_announcing=topic is not None)
    if kafka_settings := settings.readable(KafkaSettings):
        yield from kafka.lines(kafka_settings, topic)


def _of_settings() -> Iterator[Line]:
    try:
        wrong = settings.wrong(*settings.kinds_in_use())
    except SettingsError as error:  # the folder of secrets
        wrong = [str(error)]
    unknown = settings.unknown_ones()
    for message in wrong:
        yield failed("settings", message, _SET_IT, "settings")
    for message in unknown:
        yield warning("settings", message, "correct its name, or take it away")
    if not wrong and not unknown:
        yield ok("settings", "all that is set is understood")

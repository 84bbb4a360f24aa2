"""`benchmarks.row_cost` works, and compares what it says. What a row costs, docs/scale.md tells."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.row_cost.ways import WAYS

ROOT = Path(__file__).parents[2]


def test_each_way_to_store_a_row_is_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.row_cost", "--rows", "3000", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = set(re.findall(r"^\| ([^|]+) \| \d+ \|", done.stdout, re.MULTILINE))
    assert {way for way in WAYS if "lz4" not in way} <= measured  # the embedded one may have none
    table = {way: float(in_all) for way, in_all in re.findall(ROW, done.stdout, re.MULTILINE)}
    assert table["BRIN on consumed_at"] != table["fillfactor 90 of the table"]


ROW = r"^\| ([^|]+) \| \d+ \| [\d.]+ \| [\d.]+ \| (\d+) \|"

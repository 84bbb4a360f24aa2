"""This service: the real `delivery worker`, not a copy of its code."""

import os
import sys

TABLES = ""  # the migrations make them


def main() -> None:
    """Becomes the worker: the process that is measured is the one that a user starts."""
    os.execv(sys.executable, [sys.executable, "-m", "delivery", "worker", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    main()

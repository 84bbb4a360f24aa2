"""The command `delivery`, which is `python -m delivery` too."""

import sys


def main() -> None:
    """Imports the command line and runs it."""
    try:
        from delivery import interrupt

        interrupt.end_at_once()
        from delivery import cli
    except KeyboardInterrupt:  # before `end_at_once`
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()

"""A limit: kafka-python polls the topic with the worker's options, and the records are counted."""

from benchmarks.contenders.polling import polls

TABLES = ""
BATCH_SIZE = 2000  # as the worker's


def main() -> None:
    """Polls until the end of the topic or until SIGTERM."""
    for _ in polls(BATCH_SIZE):
        pass


if __name__ == "__main__":
    main()

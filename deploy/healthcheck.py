"""Asks the worker in this container whether its loop moves: exit code 0 if so, 1 if not.

A worker without DELIVERY_METRICS_PORT, and any other command, is taken for healthy: there is
nothing to ask. It needs the standard library only, and starts fast: it runs every 15 s.
"""

import http.client
import os
import sys

TIMEOUT = 3  # seconds; the container's own check gives up after five


def main() -> str | None:
    """What is wrong, for `sys.exit`."""
    port = os.environ.get("DELIVERY_METRICS_PORT")
    if not port:
        return None
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except OSError as error:
        return f"no answer from the worker: {error}"
    return None if status == 200 else f"the worker's loop does not move: HTTP {status}"


if __name__ == "__main__":
    sys.exit(main())

"""A worker's endpoints, as a probe and as Prometheus read them."""

import json
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from processes import Process
from service import Service

from delivery.embedded.ports import HOST, free_port


@dataclass(frozen=True)
class Watched:
    """A worker whose port is open, or will be in a moment."""

    process: Process
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 while nobody listens."""
        with closing(HTTPConnection(HOST, self.port, timeout=10)) as connection:
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            except ConnectionError:
                return 0, ""

    def status(self, path: str) -> int:
        return self.get(path)[0]

    def why(self, path: str) -> dict[str, str]:
        """The red checks, and why they are red."""
        checks: dict[str, Any] = json.loads(self.get(path)[1])["checks"]
        return {name: check["why"] for name, check in checks.items() if not check["ok"]}

    def figures(self) -> dict[str, float]:
        """What Prometheus reads: each sample by its name and labels, as in name{label="value"}."""
        lines = self.get("/metrics")[1].splitlines()
        samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {sample: float(value) for sample, _, value in samples}

    def figure(self, sample: str) -> float | None:
        return self.figures().get(sample)

    def lags(self) -> dict[int, float]:
        """How far behind the worker is in each of its partitions."""
        lags = [(s, n) for s, n in self.figures().items() if s.startswith("delivery_lag_records{")]
        return {int(sample.split('partition="')[1].split('"')[0]): lag for sample, lag in lags}

    def outcomes(self) -> dict[str, float]:
        """How many records had which outcome, of those that any had."""
        start = 'delivery_records_total{outcome="'
        return {
            sample.removeprefix(start).removesuffix('"}'): number
            for sample, number in self.figures().items()
            if sample.startswith(start) and number
        }


def watch(service: Service, **settings: str) -> Watched:
    """Starts `delivery worker` with its endpoints on a port of its own."""
    port = free_port()
    opened = {"metrics_port": str(port), "metrics_host": HOST}
    return Watched(service.worker(**opened | settings), port)


def watch_script(service: Service, script: str, **settings: str) -> Watched:
    """The same, but as Python runs this script."""
    port = free_port()
    opened = {"metrics_port": str(port), "metrics_host": HOST}
    return Watched(service.run("-c", script, **opened | settings), port)

"""Prometheus, from Debian's package without installing it; it cannot discover what is in a cluster."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.system.testbed import debian
from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port


class Prometheus(Component):
    """Reads, each second, the metrics at the addresses that it was told of."""

    name = "prometheus"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._targets: list[Mapping[str, object]] = []

    @property
    def address(self) -> str:
        """Its pages and its API, as a URL."""
        return f"http://127.0.0.1:{self.port}"

    def scrape(self, address: str, **labels: str) -> None:
        """Reads `/metrics` at host and port from now on; the series carry the labels."""
        self._targets.append({"targets": [address], "labels": labels})
        self._write("targets.json", self._targets)

    def value(self, query: str) -> float | None:
        """What a query that finds one series gives now, or None where it finds none."""
        answer = httpx.get(f"{self.address}/api/v1/query", params={"query": query}).raise_for_status().json()
        found = [float(series["value"][1]) for series in answer["data"]["result"]]
        return found[0] if found else None

    def prepare(self) -> None:
        pods = {"job_name": "told", "file_sd_configs": [{"files": [str(self.folder / "targets.json")]}]}
        timing = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        self._write("config.json", {"global": timing, "scrape_configs": [pods]})
        self._write("targets.json", self._targets)

    def _write(self, name: str, document: object) -> None:
        half = self.folder / f"{name}.half"  # it is read whenever it changes
        half.write_text(json.dumps(document, indent=2))
        half.rename(self.folder / name)

    def command(self) -> Sequence[str | Path]:
        return [
            debian.service("prometheus") / "usr/bin/prometheus",
            f"--config.file={self.folder / 'config.json'}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return answers(f"{self.address}/-/ready")

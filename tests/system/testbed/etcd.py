"""etcd, the API server's store."""

from collections.abc import Sequence
from pathlib import Path

from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import ETCD


class Etcd(Component):
    """One member that does not wait for its disk: the machine's crash loses a testbed in any case."""

    name = "etcd"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._peer_port = free_port()

    @property
    def address(self) -> str:
        """Where its clients reach it, as a URL."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str | Path]:
        peers = f"http://127.0.0.1:{self._peer_port}"
        return [
            ETCD.command("server"), "--data-dir", self.folder / "data", "--unsafe-no-fsync",
            "--log-level", "warn",
            "--listen-client-urls", self.address, "--advertise-client-urls", self.address,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
            "--initial-cluster", f"default={peers}",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return answers(f"{self.address}/health")

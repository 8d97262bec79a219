"""Flagger, which delivers progressively: without a service mesh, by blue/green on Kubernetes alone."""

from collections.abc import Sequence
from pathlib import Path

from tests.system.testbed.cluster import Cluster
from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import FLAGGER
from tests.system.testbed.prometheus import Prometheus


class Flagger(Component):
    """Flagger as it is, looking at canaries each second; it is the cluster's admin.

    It shortens no interval of a canary below 10 seconds; see `canary.SteppedCanary`.
    """

    name = "flagger"

    def __init__(self, folder: Path, cluster: Cluster, metrics: Prometheus) -> None:
        super().__init__(folder)
        self._port = free_port()
        self._cluster = cluster
        self._metrics = metrics

    def prepare(self) -> None:
        """Installs the definition of canaries, which the API server must be ready for."""
        self._cluster.api.install(FLAGGER.share("flagger") / "artifacts/flagger/crd.yaml")

    def command(self) -> Sequence[str | Path]:
        return [
            FLAGGER.command("flagger"), f"-kubeconfig={self._cluster.kubeconfig}",
            "-mesh-provider=kubernetes", f"-metrics-server={self._metrics.address}", f"-port={self._port}",
            "-log-level=info", "-control-loop-interval=1s",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return answers(f"http://127.0.0.1:{self._port}/healthz")

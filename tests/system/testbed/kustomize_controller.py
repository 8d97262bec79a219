"""Flux's kustomize-controller, which makes a cluster what a Git repository says."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.testbed.cluster import Cluster
from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import KUSTOMIZE_CONTROLLER


class KustomizeController(Component):
    """The controller of Kustomizations; what they are made of comes from `git_source.GitSource`."""

    name = "kustomize-controller"

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder)
        self._health_port = free_port()
        self._metrics_port = free_port()
        self._cluster = cluster

    def prepare(self) -> None:
        """Installs the definitions of its kinds and of sources, which the API server must be ready for."""
        modules = ("kustomize-controller", "source-controller")
        folders = (KUSTOMIZE_CONTROLLER.share(module) / "config/crd/bases" for module in modules)
        self._cluster.api.install(*(file for folder in folders for file in sorted(folder.glob("*.yaml"))))

    def environment(self) -> Mapping[str, str]:
        return {"KUBECONFIG": str(self._cluster.kubeconfig), "RUNTIME_NAMESPACE": "default"}

    def command(self) -> Sequence[str | Path]:
        return [
            KUSTOMIZE_CONTROLLER.command("kustomize-controller"),
            f"--health-addr=127.0.0.1:{self._health_port}", f"--metrics-addr=127.0.0.1:{self._metrics_port}",
            "--requeue-dependency=1s", "--max-retry-delay=2s", "--http-retry=1",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return answers(f"http://127.0.0.1:{self._health_port}/readyz")

"""kube-scheduler: finds a node for each pod."""

from collections.abc import Sequence
from pathlib import Path

from tests.system.testbed.apiserver import ApiServer
from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import KUBERNETES


class Scheduler(Component):
    """The scheduler, with its defaults."""

    name = "kube-scheduler"

    def __init__(self, folder: Path, apiserver: ApiServer) -> None:
        super().__init__(folder)
        self._port = free_port()
        self._apiserver = apiserver

    def command(self) -> Sequence[str | Path]:
        options = {
            "kubeconfig": self._apiserver.kubeconfig,
            "leader-elect": "false",
            "bind-address": "127.0.0.1",
            "secure-port": self._port,
            "cert-dir": self.folder,
            "kube-api-qps": 500,  # else hundreds of pods take a minute
            "kube-api-burst": 1000,
        }
        program = KUBERNETES.command("kube-scheduler")
        return [program, *(f"--{name}={value}" for name, value in options.items())]

    def is_ready(self) -> bool:
        return answers(f"https://127.0.0.1:{self._port}/readyz")

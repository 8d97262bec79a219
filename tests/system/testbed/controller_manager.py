"""kube-controller-manager: deployments, endpoints, service accounts and the like."""

from collections.abc import Sequence
from pathlib import Path

from tests.system.testbed.apiserver import ApiServer
from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import KUBERNETES


class ControllerManager(Component):
    """The controllers; to be started when the API server is ready, for which it waits a few seconds only."""

    name = "kube-controller-manager"

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
            "service-account-private-key-file": self._apiserver.signing_key,
            "root-ca-file": self._apiserver.certificate.authority,
        }
        program = KUBERNETES.command("kube-controller-manager")
        return [program, *(f"--{name}={value}" for name, value in options.items())]

    def is_ready(self) -> bool:
        # Pods are refused until their namespace has a service account.
        account = self._apiserver.read("/api/v1/namespaces/default/serviceaccounts/default")
        return account is not None and answers(f"https://127.0.0.1:{self._port}/healthz")

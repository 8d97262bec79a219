"""kube-proxy: makes services' addresses lead to their pods."""

import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.testbed import node
from tests.system.testbed.apiserver import ApiServer
from tests.system.testbed.component import Component
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import KUBERNETES


class KubeProxy(Component):
    """The node's proxy, by iptables rules in the testbed's own network."""

    name = "kube-proxy"

    def __init__(self, folder: Path, apiserver: ApiServer) -> None:
        super().__init__(folder)
        self._health_port = free_port()
        self._metrics_port = free_port()
        self._apiserver = apiserver

    def prepare(self) -> None:
        (self.folder / "config.json").write_text(json.dumps(self._configuration(), indent=2))

    def _configuration(self) -> Mapping[str, object]:
        unchanged = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self._apiserver.kubeconfig)},
            "mode": "iptables",
            "clusterCIDR": node.POD_ADDRESSES,
            "hostnameOverride": node.NAME,
            "bindAddress": node.GATEWAY,
            "healthzBindAddress": f"127.0.0.1:{self._health_port}",
            "metricsBindAddress": f"127.0.0.1:{self._metrics_port}",
            "nodePortAddresses": ["127.0.0.0/8"],
            "conntrack": unchanged,  # the limits are the whole machine's
        }

    def command(self) -> Sequence[str | Path]:
        return [KUBERNETES.command("kube-proxy"), f"--config={self.folder / 'config.json'}"]

    def is_ready(self) -> bool:
        # The API server's own service is the first that there is.
        try:
            socket.create_connection((node.API_SERVICE, 443), timeout=0.2).close()
        except OSError:
            return False
        return True

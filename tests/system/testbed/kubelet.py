"""kubelet: runs the pods of the one real node."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.testbed import node
from tests.system.testbed.apiserver import ApiServer
from tests.system.testbed.command import output
from tests.system.testbed.component import Component, answers
from tests.system.testbed.containerd import Containerd
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import KUBERNETES

# Its folder, under a name that is short wherever the testbed's state is: the path of a socket has at most 107
# characters (unix(7)).
ROOT = Path("/run/kubelet")


class Kubelet(Component):
    """The node's agent; to be started when containerd is ready, without which it ends at once.

    Args:
        folder: where pods' volumes and logs are.
        apiserver: where it registers the node.
        containerd: what it runs containers with.
        cgroup: the one that all pods' cgroups are made in.
    """

    name = "kubelet"

    def __init__(self, folder: Path, apiserver: ApiServer, containerd: Containerd, cgroup: str) -> None:
        super().__init__(folder)
        self._port = free_port()
        self._health_port = free_port()
        self._apiserver = apiserver
        self._containerd = containerd
        self._cgroup = cgroup

    def prepare(self) -> None:
        if not ROOT.is_mount():
            ROOT.mkdir()
            output("mount", "--bind", self.folder, ROOT)
        (self.folder / "config.json").write_text(json.dumps(self._configuration(), indent=2))

    def _configuration(self) -> Mapping[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node.GATEWAY,
            "port": self._port,
            "healthzPort": self._health_port,
            # Only the testbed's own network reaches it.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": self._containerd.address,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "featureGates": {"ImageVolume": True},
            # A developer's full disk is no reason to evict pods or to drop images.
            "evictionHard": dict.fromkeys(
                ("nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"), "0%"
            ),
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "makeIPTablesUtilChains": False,
            "podLogsDir": str(self.folder / "pod-logs"),
            "resolvConf": "",  # there is no name server
            "serializeImagePulls": False,
            "volumePluginDir": str(self.folder / "volume-plugins"),
        }

    def command(self) -> Sequence[str | Path]:
        options = {
            "kubeconfig": self._apiserver.kubeconfig,
            "config": self.folder / "config.json",
            "root-dir": ROOT,
            "hostname-override": node.NAME,
            "node-ip": node.GATEWAY,
            "node-labels": ",".join(f"{name}={value}" for name, value in node.LABELS.items()),
        }
        return [KUBERNETES.command("kubelet"), *(f"--{name}={value}" for name, value in options.items())]

    def is_ready(self) -> bool:
        # The node stays Ready in the API for a while after a kubelet has died.
        return answers(f"http://127.0.0.1:{self._health_port}/healthz") and self._node_is_ready()

    def _node_is_ready(self) -> bool:
        found = self._apiserver.read(f"/api/v1/nodes/{node.NAME}") or {}
        conditions = found.get("status", {}).get("conditions", ())
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

"""kwok: a fake node beside the real one, whose pods run in name only, hundreds of them for nothing."""

from collections.abc import Sequence
from pathlib import Path

from tests.system.testbed.cluster import Cluster
from tests.system.testbed.component import Component
from tests.system.testbed.kubernetes_api import holds
from tests.system.testbed.programs import KWOK

# What a pod's specification needs to be run on the fake node; other pods keep away from it.
ON_FAKE_NODE = {
    "nodeSelector": {"type": "fake"},
    "tolerations": [{"key": "testbed/fake", "operator": "Exists"}],
}

_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "fake", "labels": {"type": "fake"}},
    "spec": {"taints": [{"key": "testbed/fake", "effect": "NoSchedule"}]},
}
_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)


class Kwok(Component):
    """One fake node, with room for a million pods that are ready at once; those of jobs end at once."""

    name = "kwok"

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder)
        self._cluster = cluster

    def prepare(self) -> None:
        """Makes the node, which the API server must be ready for."""
        self._cluster.api.apply(_NODE)

    def command(self) -> Sequence[str | Path]:
        stages = KWOK.share("kwok") / "kustomize/stage"
        return [
            KWOK.command("kwok"), "--kubeconfig", self._cluster.kubeconfig,
            "--manage-nodes-with-label-selector", "type=fake",
            "--cidr", "10.245.0.0/16", "--node-ip", "10.245.0.1",
            "--node-lease-duration-seconds", "40",  # without a lease the node is given up after a minute
            *(f"--config={stages / stage}" for stage in _STAGES),
        ]  # fmt: skip

    def is_ready(self) -> bool:
        found = self._cluster.api.get(_NODE)
        return found is not None and holds("Ready")(found)

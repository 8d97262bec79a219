"""A Kubernetes cluster with one real node, made of unmodified components."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from tests.system.testbed import cgroup, images, node
from tests.system.testbed.apiserver import ApiServer
from tests.system.testbed.component import Component
from tests.system.testbed.containerd import Containerd
from tests.system.testbed.controller_manager import ControllerManager
from tests.system.testbed.etcd import Etcd
from tests.system.testbed.kube_proxy import KubeProxy
from tests.system.testbed.kubelet import Kubelet
from tests.system.testbed.kubernetes_api import KubernetesApi
from tests.system.testbed.scheduler import Scheduler

PAUSE = "localhost/pause:testbed"
WEB = "localhost/web:testbed"  # serves /srv on port 8080; on the node, needs no pulling


class Cluster:
    """The cluster of these namespaces; a second one would meet it at the node.

    It has no name server: pods find services by address.
    """

    name = "cluster"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etcd = Etcd(folder / "etcd")
        self.apiserver = ApiServer(folder / "apiserver", self.etcd)
        self.containerd = Containerd(folder / "containerd", folder / "network", PAUSE)
        self.kubelet = Kubelet(folder / "kubelet", self.apiserver, self.containerd, cgroup.make())
        self._clients: Sequence[Component] = (
            ControllerManager(folder / "controller-manager", self.apiserver),
            Scheduler(folder / "scheduler", self.apiserver),
            self.kubelet,
            KubeProxy(folder / "kube-proxy", self.apiserver),
        )

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.apiserver.kubeconfig

    @cached_property
    def api(self) -> KubernetesApi:
        """The API, for the admin."""
        return KubernetesApi(self.kubeconfig)

    @property
    def components(self) -> Sequence[Component]:
        """All components, in the order in which they are started."""
        return (self.etcd, self.apiserver, self.containerd, *self._clients)

    def start(self) -> Self:
        """Starts what needs nobody else; the rest is started by `wait`, when those are ready."""
        node.prepare(self.folder / "network")
        for component in (self.etcd, self.apiserver, self.containerd):
            component.start()
        return self

    def wait(self) -> Self:
        """Waits until pods can be made and services be reached.

        Raises:
            ComponentFailed: a component ended, or was not ready in time.
        """
        self.containerd.wait()
        for name, image in ((PAUSE, images.pause()), (WEB, images.web())):
            archive = self.folder / "image.tar"
            image.write_archive(archive, name)
            self.containerd.load(archive)
        self.etcd.wait()
        self.apiserver.wait()
        for component in self._clients:
            component.start()
        for component in self._clients:
            component.wait()
        return self

    def stop(self) -> None:
        """Stops all components; pods that run go on until the namespaces end."""
        # etcd last: the API server would wait for it.
        for component in (*self._clients, self.containerd, self.apiserver, self.etcd):
            component.stop()

    def log_tail(self) -> str:
        """The last lines of all logs, and what happened in all namespaces."""
        events = self.api.events(None) if self.apiserver.is_running else "(the API server does not run)"
        tails = [component.log_tail() for component in self.components]
        return "\n".join((*tails, f"--- events\n{events}"))

"""The cluster: pods run for real and in name only, what fails says why, and nothing is left of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.fixtures.kubernetes import read_kernel_settings
from tests.system.testbed import images, kubernetes_api
from tests.system.testbed import namespace as namespaces
from tests.system.testbed.apiserver import ApiServer
from tests.system.testbed.cluster import WEB, Cluster
from tests.system.testbed.component import ComponentFailed
from tests.system.testbed.etcd import Etcd
from tests.system.testbed.images import BUSYBOX
from tests.system.testbed.kubernetes_api import Manifest, NotInTime, holds, named
from tests.system.testbed.kwok import ON_FAKE_NODE, Kwok
from tests.system.testbed.node import API_SERVICE
from tests.system.testbed.registry import Distribution
from tests.system.testbed.testbed import Testbed

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds until a test gives up waiting; nothing is measured by it


def pod(namespace: str, *command: str, image: str = WEB, volumes: Sequence[Manifest] = ()) -> Manifest:
    """A pod named `one`: the web server, or one of busybox's commands that is run once."""
    container: dict[str, Any] = {"name": "main", "image": image}
    if command:
        container["command"] = [BUSYBOX, *command]
    container["volumeMounts"] = [{"name": volume["name"], "mountPath": "/models"} for volume in volumes]
    return {
        **named("v1", "Pod", "one", namespace),
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "dnsPolicy": "Default",
            "restartPolicy": "Never" if command else "Always",
            "containers": [container],
            "volumes": volumes,
        },
    }


def has_phase(phase: str) -> Callable[[Manifest], bool]:
    return lambda found: found["status"].get("phase") == phase


def reachable(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_pod_is_reached_by_its_service(cluster: Cluster, namespace: str) -> None:
    web = pod(namespace)
    web = {**web, "metadata": {**web["metadata"], "labels": {"app": "web"}}}
    service = {
        **named("v1", "Service", "web", namespace),
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    cluster.api.apply(web, service)
    address = cluster.api.wait_for(service, lambda _: True, "there")["spec"]["clusterIP"]
    cluster.api.wait_until(lambda: reachable(address, 80), "the service leads to the pod")
    assert httpx.get(f"http://{address}/index.html").text == "It serves.\n"


def test_a_pod_reaches_the_api_server(cluster: Cluster, namespace: str) -> None:
    caller = pod(namespace, "nc", "-w", "5", API_SERVICE, "443")
    cluster.api.apply(caller)
    cluster.api.wait_for(caller, has_phase("Succeeded"), "done")


def test_what_a_pod_says_can_be_read(cluster: Cluster, namespace: str) -> None:
    speaker = pod(namespace, "echo", "trained")
    cluster.api.apply(speaker)
    cluster.api.wait_for(speaker, has_phase("Succeeded"), "done")
    assert cluster.api.log("one", namespace) == "trained\n"


def test_a_volume_is_pulled_from_a_registry_by_its_digest(
    cluster: Cluster, namespace: str, registry: Distribution
) -> None:
    model = images.Image({"model.txt": b"weights"}).push(f"{registry.address}/models/volume")
    volume = {"name": "model", "image": {"reference": model}}
    reader = pod(namespace, "cat", "/models/model.txt", volumes=[volume])
    cluster.api.apply(reader)
    cluster.api.wait_for(reader, has_phase("Succeeded"), "done")
    assert cluster.api.log("one", namespace) == "weights"


def test_waiting_in_vain_tells_why(
    cluster: Cluster, namespace: str, registry: Distribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = pod(namespace, image=f"{registry.address}/nobody@sha256:{'0' * 64}")
    cluster.api.apply(missing)
    cluster.api.wait_until(lambda: "ErrImagePull" in cluster.api.events(namespace), "the pull fails")
    monkeypatch.setattr(kubernetes_api, "PATIENCE", 0.5)
    with pytest.raises(NotInTime, match=r"(?s)Pod one is not ready after.*Failed Pod/one.*not found"):
        cluster.api.wait_for(missing, holds("Ready"), "ready")


def test_all_that_a_pod_is_made_of_is_in_the_testbeds_cgroup(
    cluster: Cluster, namespace: str, testbed: Testbed
) -> None:
    sleeper = pod(namespace, "sleep", "76543")
    cluster.api.apply(sleeper)
    cluster.api.wait_for(sleeper, holds("Ready"), "ready")
    [process] = subprocess.check_output(["pgrep", "-f", f"^{BUSYBOX} sleep 76543$"], text=True).split()
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        assert line.split(":")[2].startswith(f"/{testbed.state.name}/")


def test_the_machines_kernel_stays_as_it_was(cluster: Cluster, kernel_settings: Mapping[str, str]) -> None:
    assert read_kernel_settings() == kernel_settings


def test_hundreds_of_pods_run_on_the_fake_node(cluster: Cluster, kwok: Kwok, namespace: str) -> None:
    deployment = {
        **named("apps/v1", "Deployment", "many", namespace),
        "spec": {
            "replicas": 200,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {"containers": [{"name": "main", "image": "no/such:image"}], **ON_FAKE_NODE},
            },
        },
    }
    cluster.api.apply(deployment)
    cluster.api.wait_for(deployment, lambda found: found["status"].get("readyReplicas") == 200, "all ready")
    pods = cluster.api.list("v1", "Pod", namespace, labels="app=many")
    assert {(found["status"]["phase"], found["spec"]["nodeName"]) for found in pods} == {("Running", "fake")}


class TestFailingToStart:
    def test_a_taken_port_is_named(self, tmp_path: Path) -> None:
        etcd = Etcd(tmp_path)
        told = rf"(?s)etcd ended.*{etcd.port}: bind: address already in use"
        with socket.create_server(("127.0.0.1", etcd.port)), pytest.raises(ComponentFailed, match=told):
            etcd.start().wait()

    def test_a_broken_flag_is_named(self, tmp_path: Path) -> None:
        class Broken(ApiServer):
            def command(self) -> Sequence[str | Path]:
                return [*super().command(), "--no-such-flag"]

        told = r"(?s)kube-apiserver ended.*unknown flag: --no-such-flag"
        with pytest.raises(ComponentFailed, match=told):
            Broken(tmp_path / "apiserver", Etcd(tmp_path / "etcd")).start().wait()


RUN_CLUSTER = """
import json, os, signal, sys
from pathlib import Path
from tests.system.testbed.cluster import Cluster
from tests.system.testbed.kubernetes_api import holds
from tests.system.testbed.namespace import STATE

cluster = Cluster(Path(os.environ[STATE]) / "cluster").start()
try:
    cluster.wait()
    pod = json.loads(sys.argv[1])
    cluster.api.apply(pod)
    cluster.api.wait_for(pod, holds("Ready"), "ready")
    print("running", flush=True)
    signal.pause()
finally:
    cluster.stop()
"""
RUN_IN_NAMESPACES = (
    "import sys; from tests.system.testbed import namespace; sys.exit(namespace.run(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Traces:
    """What a cluster of its own, in namespaces below those of the tests, is known by."""

    state: Path
    pod_processes: frozenset[str]

    @property
    def left(self) -> Sequence[object]:
        """Processes, mounts, files and cgroups that are still there."""
        name = self.state.name
        processes = subprocess.run(["pgrep", "-f", name], capture_output=True, text=True).stdout.split()
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
        alive = [process for process in self.pod_processes if Path(f"/proc/{process}").exists()]
        files = [self.state] if self.state.exists() else []
        return [*processes, *mounts, *alive, *files, *namespaces.cgroups(self.state)]


class TestNothingIsLeft:
    @pytest.fixture
    def process(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        """The process that a cluster with a pod was started by."""
        command = [sys.executable, "-c", RUN_CLUSTER, json.dumps(pod("default"))]
        with subprocess.Popen(
            [sys.executable, "-c", RUN_IN_NAMESPACES, *command],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "running\n"
            try:
                yield process
            finally:
                process.kill()

    @pytest.fixture
    def traces(self, process: subprocess.Popen[str], tmp_path: Path) -> Traces:
        [state] = tmp_path.glob("modelflight-testbed-*")
        found = [file for group in namespaces.cgroups(state) for file in group.rglob("cgroup.procs")]
        processes = frozenset(process for file in found for process in file.read_text().split())
        assert len(processes) == 2  # the pod's own, and the one that holds its namespaces
        return Traces(state, processes)

    def test_when_it_is_killed(self, process: subprocess.Popen[str], traces: Traces) -> None:
        [unshare] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(unshare), signal.SIGKILL)
        self.wait_until_gone(traces)

    def test_when_a_person_interrupts_it(self, process: subprocess.Popen[str], traces: Traces) -> None:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        self.wait_until_gone(traces)

    def wait_until_gone(self, traces: Traces) -> None:
        deadline = time.monotonic() + PATIENCE
        while left := traces.left:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)

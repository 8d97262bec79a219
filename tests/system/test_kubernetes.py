"""The cluster: pods run for real and in name only, what fails says why, and nothing is left of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.system.fixtures.kubernetes import read_kernel_settings
from tests.system.testbed import images, kubernetes_api
from tests.system.testbed import namespace as namespaces
from tests.system.testbed.apiserver import ApiServer
from tests.system.testbed.cluster import WEB
from tests.system.testbed.component import ComponentFailed
from tests.system.testbed.etcd import Etcd
from tests.system.testbed.kubernetes_api import NotInTime, holds
from tests.system.testbed.kwok import ON_FAKE_NODE
from tests.system.testbed.node import API_SERVICE

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # seconds until a test gives up waiting; nothing is measured by it


def pod(namespace, name="one", image=WEB, **specification):
    container = {"name": "main", "image": image, **specification.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "dnsPolicy": "Default",
            "containers": [container],
            **specification,
        },
    }


def has_phase(phase):
    return lambda found: found["status"].get("phase") == phase


class TestCluster:
    def test_a_pod_is_reached_by_its_service(self, cluster, namespace):
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": {"app": "one"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        probe = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
        cluster.api.apply(pod(namespace, container={"readinessProbe": probe}), service)
        cluster.api.wait_for(pod(namespace), holds("Ready"), "ready")
        address = cluster.api.get(service)["spec"]["clusterIP"]
        cluster.api.wait_until(lambda: reachable(address, 80), "the service leads to the pod")
        assert httpx.get(f"http://{address}/index.html").text == "It serves.\n"

    def test_a_pod_reaches_the_api_server(self, cluster, namespace):
        command = ["/bin/busybox", "nc", "-w", "5", API_SERVICE, "443"]
        caller = pod(namespace, container={"command": command}, restartPolicy="Never")
        cluster.api.apply(caller)
        cluster.api.wait_for(caller, has_phase("Succeeded"), "done")

    def test_what_a_pod_says_can_be_read(self, cluster, namespace):
        command = ["/bin/busybox", "echo", "trained"]
        speaker = pod(namespace, container={"command": command}, restartPolicy="Never")
        cluster.api.apply(speaker)
        cluster.api.wait_for(speaker, has_phase("Succeeded"), "done")
        assert cluster.api.log("one", namespace) == "trained\n"

    def test_a_volume_is_pulled_from_a_registry_by_its_digest(self, cluster, namespace, registry):
        model = images.Image({"model.txt": b"weights"}).push(f"{registry.address}/models/volume")
        reader = pod(
            namespace,
            container={
                "command": ["/bin/busybox", "cat", "/models/model.txt"],
                "volumeMounts": [{"name": "model", "mountPath": "/models"}],
            },
            volumes=[{"name": "model", "image": {"reference": model}}],
            restartPolicy="Never",
        )
        cluster.api.apply(reader)
        cluster.api.wait_for(reader, has_phase("Succeeded"), "done")
        assert cluster.api.log("one", namespace) == "weights"

    def test_waiting_in_vain_tells_why(self, cluster, namespace, registry, monkeypatch):
        missing = pod(namespace, image=f"{registry.address}/nobody@sha256:{'0' * 64}")
        cluster.api.apply(missing)
        cluster.api.wait_until(lambda: "ErrImagePull" in cluster.api.events(namespace), "the pull fails")
        monkeypatch.setattr(kubernetes_api, "PATIENCE", 0.5)
        with pytest.raises(NotInTime, match=r"(?s)Pod one is not ready after.*Failed Pod/one.*not found"):
            cluster.api.wait_for(missing, holds("Ready"), "ready")

    def test_all_that_a_pod_is_made_of_runs_in_the_testbeds_cgroup(self, cluster, namespace, testbed):
        sleeper = pod(namespace, container={"command": ["/bin/busybox", "sleep", "76543"]})
        cluster.api.apply(sleeper)
        cluster.api.wait_for(sleeper, holds("Ready"), "ready")
        [process] = subprocess.check_output(["pgrep", "-f", "^/bin/busybox sleep 76543$"], text=True).split()
        groups = Path(f"/proc/{process}/cgroup").read_text().splitlines()
        limited = [group.split(":")[2] for group in groups if group.split(":")[1] in ("memory", "pids", "")]
        assert limited
        for group in limited:
            assert group.startswith(f"/{testbed.state.name}/") or group == "/"

    def test_the_machines_kernel_stays_as_it_was(self, cluster, kernel_settings):
        assert read_kernel_settings() == kernel_settings


def reachable(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_hundreds_of_pods_run_on_the_fake_node(cluster, kwok, namespace):
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many", "namespace": namespace},
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
    def test_a_taken_port_is_named(self, tmp_path):
        etcd = Etcd(tmp_path)
        with (
            socket.create_server(("127.0.0.1", etcd.port)),
            pytest.raises(
                ComponentFailed, match=rf"(?s)etcd ended.*{etcd.port}: bind: address already in use"
            ),
        ):
            etcd.start().wait()

    def test_a_broken_flag_is_named(self, tmp_path):
        class Broken(ApiServer):
            def command(self):
                return [*super().command(), "--no-such-flag"]

        with pytest.raises(ComponentFailed, match=r"(?s)kube-apiserver ended.*unknown flag: --no-such-flag"):
            Broken(tmp_path / "apiserver", Etcd(tmp_path / "etcd")).start().wait()


RUNNING_CLUSTER = """
import json, os, signal, sys
from pathlib import Path
from tests.system.testbed.cluster import Cluster
from tests.system.testbed.kubernetes_api import holds
from tests.system.testbed.namespace import STATE

cluster = Cluster(Path(os.environ[STATE]) / "c").start()
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


class TestNothingIsLeft:
    @pytest.fixture
    def running(self, testbed):
        """A process of its own, with a cluster in namespaces below those of the tests."""
        folder = testbed.state / "n"  # short, for sockets lie below it
        folder.mkdir(exist_ok=True)
        script = (
            "import sys; from tests.system.testbed import namespace; sys.exit(namespace.run(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", RUNNING_CLUSTER, json.dumps(pod("default"))]
        with subprocess.Popen(
            [sys.executable, "-c", script, *command],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout.readline() == "running\n"
            yield process

    def test_when_it_is_killed(self, running, testbed):
        state, processes = self.seen(testbed)
        [unshare] = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(unshare), signal.SIGKILL)
        self.wait_until_gone(state, processes)

    def test_when_a_person_interrupts_it(self, running, testbed):
        state, processes = self.seen(testbed)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        self.wait_until_gone(state, processes)

    def seen(self, testbed):
        [state] = (testbed.state / "n").glob("modelflight-testbed-*")
        groups = namespaces.cgroups(state)
        assert groups
        processes = {
            process
            for group in groups
            for tasks in group.rglob("cgroup.procs")
            for process in tasks.read_text().split()
        }
        assert len(processes) == 2  # the pod's pause and web
        return state, processes

    def wait_until_gone(self, state, processes):
        deadline = time.monotonic() + PATIENCE
        while left := self.left(state, processes):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)

    def left(self, state, processes):
        named = subprocess.run(["pgrep", "-f", state.name], capture_output=True, text=True).stdout.split()
        mounts = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if state.name in line
        ]
        alive = [process for process in processes if Path(f"/proc/{process}").exists()]
        folder = [state] if state.exists() else []
        return [*named, *mounts, *alive, *folder, *namespaces.cgroups(state)]

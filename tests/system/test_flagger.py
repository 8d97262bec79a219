"""Flagger on real pods: a new model is promoted when its checks pass, and is never served when they fail."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.system.testbed import images
from tests.system.testbed.canary import SteppedCanary, canary
from tests.system.testbed.cluster import WEB, Cluster
from tests.system.testbed.flagger import Flagger
from tests.system.testbed.kubernetes_api import KubernetesApi, Manifest, named
from tests.system.testbed.prometheus import Prometheus
from tests.system.testbed.registry import Distribution

Carried = Callable[[str], Manifest]

SERVED = "/artifact/model.txt"  # a path below the server's root


@pytest.fixture(scope="session")
def models(registry: Distribution) -> Mapping[str, str]:
    """Images of models, by what their file says; they copy it themselves, or are mounted."""

    def push(version: str) -> str:
        files = {SERVED.lstrip("/"): version.encode()}
        image = images.with_busybox("cp", "-r", "/artifact", "/srv/", files=files)
        return image.push(f"{registry.address}/models/wine")

    return {version: push(version) for version in ("v1", "v2")}


def copied(image: str) -> Manifest:
    """A model that an init container copies into the server's folder."""
    mount = {"name": "model", "mountPath": "/srv"}
    return {
        "initContainers": [{"name": "model", "image": image, "volumeMounts": [mount]}],
        "volumes": [{"name": "model", "emptyDir": {}}],
    }


def mounted(image: str) -> Manifest:
    """A model whose image is the server's folder."""
    return {"volumes": [{"name": "model", "image": {"reference": image}}]}


def server(namespace: str, model: Manifest) -> Manifest:
    """A server of a model; how many replicas it has is Flagger's to say."""
    container = {
        "name": "server",
        "image": WEB,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": SERVED, "port": "http"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "model", "mountPath": "/srv"}],
    }
    pod = {"terminationGracePeriodSeconds": 0, "dnsPolicy": "Default", "containers": [container], **model}
    return {
        **named("apps/v1", "Deployment", "wine", namespace),
        "spec": {
            "selector": {"matchLabels": {"app": "wine"}},
            "template": {"metadata": {"labels": {"app": "wine"}}, "spec": pod},
        },
    }


@dataclass(frozen=True)
class Rollouts:
    """The server in its namespace, and the canary that watches over it."""

    api: KubernetesApi
    namespace: str

    @property
    def canary(self) -> SteppedCanary:
        return SteppedCanary(self.api, "wine", self.namespace)

    def begin(self, deployment: Manifest, **checks: Any) -> None:
        """Makes the server and its canary, and waits until it serves."""
        self.api.apply(deployment, canary("wine", namespace=self.namespace, **checks))
        self.canary.step_until("Initialized")

    def change(self, deployment: Manifest, is_known: Callable[[], bool] = lambda: True) -> str:
        """Changes the server, and goes on until Flagger has decided; not before its metrics are known."""
        self.api.apply(deployment)
        self.canary.step_until("Progressing")
        self.api.wait_until(is_known, "the canary's metrics are known")
        return self.canary.step_until("Succeeded", "Failed")

    def served(self, service: str = "wine") -> str:
        """The model that a service's pods serve."""
        # The rules for a service follow its pods a moment later.
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            return client.get(f"http://{self.address(service)}:8080{SERVED}").text

    def address(self, service: str) -> str:
        """A service's address."""
        found = self.api.wait_for(named("v1", "Service", service, self.namespace), lambda _: True, "there")
        address: str = found["spec"]["clusterIP"]
        return address


@pytest.fixture
def rollouts(cluster: Cluster, flagger: Flagger, namespace: str) -> Rollouts:
    return Rollouts(cluster.api, namespace)


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A webhook's address that always answers with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as webhook:
        threading.Thread(target=webhook.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{webhook.server_port}/"
        finally:
            webhook.shutdown()


@pytest.mark.parametrize("carried", [copied, mounted])
class TestDigest:
    def test_a_changed_one_is_promoted(
        self, rollouts: Rollouts, models: Mapping[str, str], carried: Carried
    ) -> None:
        rollouts.begin(server(rollouts.namespace, carried(models["v1"])))
        assert rollouts.served() == "v1"

        assert rollouts.change(server(rollouts.namespace, carried(models["v2"]))) == "Succeeded"

        assert rollouts.served() == "v2"
        assert rollouts.served("wine-primary") == "v2"

    def test_one_whose_check_fails_is_not_served(
        self, rollouts: Rollouts, models: Mapping[str, str], carried: Carried
    ) -> None:
        with answering(500) as url:
            check = {"name": "smoke", "type": "pre-rollout", "url": url, "timeout": "2s", "retries": 0}
            rollouts.begin(server(rollouts.namespace, carried(models["v1"])), webhooks=[check])

            assert rollouts.change(server(rollouts.namespace, carried(models["v2"]))) == "Failed"

        assert rollouts.served() == "v1"
        assert rollouts.served("wine-primary") == "v1"


def test_a_model_is_judged_by_the_metrics_of_its_own_pods(
    rollouts: Rollouts, prometheus: Prometheus, registry: Distribution
) -> None:
    def with_accuracy(accuracy: float) -> Manifest:
        files = {"artifact/model.txt": b"model", "metrics": f"accuracy {accuracy}\n".encode()}
        image = images.with_busybox("cp", "-r", "/artifact", "/metrics", "/srv/", files=files)
        return server(rollouts.namespace, copied(image.push(f"{registry.address}/models/judged")))

    query = f'accuracy{{namespace="{rollouts.namespace}"}}'
    template = {
        **named("flagger.app/v1beta1", "MetricTemplate", "accuracy", rollouts.namespace),
        "spec": {"provider": {"type": "prometheus", "address": prometheus.address}, "query": query},
    }
    rollouts.api.apply(template)
    metric = {"name": "accuracy", "templateRef": {"name": "accuracy"}, "thresholdRange": {"min": 0.8}}
    rollouts.begin(with_accuracy(0.9), metrics=[{**metric, "interval": "10s"}])
    prometheus.scrape(f"{rollouts.address('wine-canary')}:8080", namespace=rollouts.namespace)

    assert rollouts.change(with_accuracy(0.5), lambda: prometheus.value(query) == 0.5) == "Failed"
    assert "accuracy 0.50 < 0.8" in rollouts.api.events(rollouts.namespace)
    assert rollouts.change(with_accuracy(0.95), lambda: prometheus.value(query) == 0.95) == "Succeeded"

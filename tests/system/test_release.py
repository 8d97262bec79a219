"""The example's release, from a push to a canary's end, with every part real."""

import hashlib
from contextlib import closing

import httpx
import pytest

from tasks.lineage.record import MEDIA_TYPE
from tasks.release import ReleaseId
from tests.system.testbed import judges
from tests.system.testbed.canary import SteppedCanary
from tests.system.testbed.cluster import WEB
from tests.system.testbed.kubernetes_api import holds, named
from tests.system.testbed.stage import BUCKET

MODEL = "model.joblib"


@pytest.fixture(scope="module")
def first(stage):
    """The first release, delivered to the cluster: the primary serves it."""
    released = stage.release()
    stage.deliver()
    SteppedCanary(stage.cluster.api, "wine", "models").step_until("Initialized")
    return released


def served(stage):
    """The digest of the model that the primary's pod serves."""
    pods = stage.cluster.api.list("v1", "Pod", "models", labels="app=wine-primary")
    [address] = [pod["status"]["podIP"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return sha256(httpx.get(f"http://{address}:8080/{MODEL}").raise_for_status().content)


def stored(stage, released):
    """The digest of the model that lies in the object store."""
    prefix = f"runs/wine/{ReleaseId(released['release_id']).run_id}/"
    with closing(stage.object_store.client()) as client:
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
        [key] = [found["Key"] for found in listed if found["Key"].endswith(f"/{MODEL}")]
        return sha256(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def reference(released):
    """The image as the fleet names it."""
    return "{repository}:{tag}@{digest}".format_map(released["image"])


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def image_of(stage, deployment):
    found = stage.cluster.api.get(named("apps/v1", "Deployment", deployment, "models"))
    [container] = found["spec"]["template"]["spec"]["initContainers"]
    return container["image"]


def test_the_model_of_the_store_is_what_the_pod_serves(stage, first):
    assert first["verdict"] == "untracked"
    assert served(stage) == stored(stage, first)
    assert image_of(stage, "wine-primary") == reference(first)


def test_the_image_is_sound_and_carries_its_record(stage, first):
    image = "{repository}@{digest}".format_map(first["image"])
    environment = stage.registry.client_environment()
    judges.validate_image(image, environment)
    [record] = judges.discover(image, environment)
    assert record["artifactType"] == MEDIA_TYPE


def test_the_same_image_is_served_from_a_volume(stage, first, namespace):
    reader = {
        **named("v1", "Pod", "reader", namespace),
        "spec": {
            "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "server",
                    "image": WEB,
                    "command": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/mnt/models"],
                    "volumeMounts": [{"name": "model", "mountPath": "/mnt/models", "subPath": "models"}],
                    "readinessProbe": {"httpGet": {"path": f"/{MODEL}", "port": 8080}, "periodSeconds": 1},
                }
            ],
            "volumes": [{"name": "model", "image": {"reference": reference(first)}}],
        },
    }
    api = stage.cluster.api
    api.apply(reader)
    address = api.wait_for(reader, holds("Ready"), "ready")["status"]["podIP"]
    assert sha256(httpx.get(f"http://{address}:8080/{MODEL}").content) == stored(stage, first)


def test_releasing_the_same_commit_again_changes_nothing(stage, first):
    again = stage.release()
    assert again["image"] == first["image"]
    assert again["fleet_commit"]["commit"] == first["fleet_commit"]["commit"]


def test_the_flow_runs_page_shows_what_the_release_left(stage, first, browser, tmp_path):
    server = stage.prefect_server
    wanted = {"flow_runs": {"name": {"any_": [first["release_id"]]}}}
    run = httpx.post(f"{server.api}/flow_runs/filter", json=wanted).raise_for_status().json()[0]
    address = f"{server.address}/v2/runs/flow-run/{run['id']}?tab=Artifacts"
    with browser.open_page(address, tmp_path) as opened:
        opened.expect_text("wine-gate", "wine-image", "wine-timeline")
        assert opened.problems_besides(server.known_problems) == []


def test_a_better_model_is_delivered_by_a_canary(stage, first):
    settings = stage.folder / "notebooks" / "modelflight.yaml"
    settings.write_text(settings.read_text().replace("trees: 10", "trees: 40"))
    stage.push("notebooks", "More trees")
    second = stage.release()
    assert second["image"]["digest"] != first["image"]["digest"]
    api = stage.cluster.api
    wine = named("apps/v1", "Deployment", "wine", "models")
    api.wait_until(lambda: image_of(stage, "wine") == reference(second), "Git reaches the cluster")
    canary = SteppedCanary(api, "wine", "models")
    assert canary.step_until("Progressing", "Failed") == "Progressing"
    assert image_of(stage, "wine-primary") == reference(first)
    assert canary.step_until("Succeeded", "Failed") == "Succeeded"
    assert image_of(stage, "wine-primary") == reference(second)
    assert served(stage) == stored(stage, second) != stored(stage, first)
    assert api.get(wine)["spec"]["template"]["metadata"]["annotations"]["modelflight.dev/rollout-id"]

"""The Kubernetes work pool's template, as a real Prefect server and Prefect's Kubernetes worker take it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.infra import pods
from tests.infra.kubernetes_objects import environment_of, unknown_fields
from tests.prefect_api import ask
from tests.repositories import Repositories

HEARTBEAT = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"


@dataclass(frozen=True)
class Deployed:
    """A model that was deployed into a Kubernetes work pool."""

    api: str
    pool: str
    deployment: str

    def job(self, **variables: Any) -> dict[str, Any]:
        """The Job of a new flow run with these job variables."""
        body = {"job_variables": variables, "state": {"type": "SCHEDULED"}}
        made = ask("POST", f"{self.api}/deployments/{self.deployment}/create_flow_run", body)
        return dict(pods.job_of(made["id"], self.pool))


@pytest.fixture
def deployed(prefect_api: str, repositories: Repositories, tmp_path: Path) -> Iterator[Deployed]:
    """The small example, deployed as `modelflight deploy` does it."""
    pool = f"kubernetes-{secrets.token_hex(4)}"
    pods.make_work_pool(pool)
    repositories.push_small()
    deployment = pods.deploy_small(repositories, pool)
    yield Deployed(prefect_api, pool, deployment)
    ask("DELETE", f"{prefect_api}/work_pools/{pool}")


def test_prefects_worker_makes_a_job_of_it_that_kubernetes_knows(deployed: Deployed) -> None:
    job = deployed.job()
    assert unknown_fields(job) <= NOT_OF_A_POD
    assert "{{" not in str(job)
    assert job["metadata"]["namespace"] == "modelflight"
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "modelflight-release"
    (container,) = pod["containers"]
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"memory": "4Gi"},
    }


# Prefect wants them there, though they belong to the Job; Kubernetes drops them.
NOT_OF_A_POD = {".spec.template.spec.completions", ".spec.template.spec.parallelism"}


def test_results_models_and_images_are_kept_outside_the_pod(deployed: Deployed) -> None:
    (container,) = deployed.job()["spec"]["template"]["spec"]["containers"]
    environment = environment_of(container)
    assert environment["PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK"].startswith("s3-bucket/")
    assert environment["MODELFLIGHT_ARTIFACTS"].startswith("s3://")
    assert environment["MODELFLIGHT_IMAGES"] == "registry"
    assert environment[HEARTBEAT] == "30"  # of the deployment, not lost for those of the work pool


def test_a_deployment_can_ask_for_more_and_keeps_what_the_pool_sets(deployed: Deployed) -> None:
    job = deployed.job(memory_limit="64Gi", home_size="500Gi", env={"NOTEBOOK_MODE": "long"})
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"memory": "64Gi"}
    assert {"name": "home", "emptyDir": {"sizeLimit": "500Gi"}} in pod["volumes"]
    environment = environment_of(container)
    assert environment["NOTEBOOK_MODE"] == "long"
    assert environment["MODELFLIGHT_IMAGES"] == "registry"
    assert environment[HEARTBEAT] == "30"


def test_an_evicted_pods_run_is_scheduled_again(deployed: Deployed) -> None:
    job = deployed.job()
    assert job["spec"]["backoffLimit"] == 0  # Prefect starts it again, not Kubernetes
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert environment_of(container)["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"


@pytest.mark.parametrize("wrong", [{"memory_limit": 4}, {"image_pull_policy": "Sometimes"}])
def test_prefect_refuses_job_variables_of_another_kind(deployed: Deployed, wrong: dict[str, Any]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        deployed.job(**wrong)

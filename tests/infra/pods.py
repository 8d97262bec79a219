"""Flow runs of the Kubernetes work pool: Jobs as Prefect's worker makes them, and their pods as processes.

A pod here has what a Job gives it and nothing else: the image's variables and its own, its arguments, and
empty folders in the place of its volumes. They are gone when the pod ended, as on a cluster.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.infra.dockerfile import Dockerfile
from tests.repositories import TOP, Repositories

FOLDER = TOP / "infra" / "prefect"
IMAGE = Dockerfile.read(FOLDER / "Dockerfile").stages[-1]
SECRET = "modelflight-release"  # whose variables a pod has
Job = Mapping[str, Any]


def template() -> dict[str, Any]:
    """The work pool's base job template."""
    found: dict[str, Any] = json.loads((FOLDER / "work-pool.json").read_text())
    return found


def make_work_pool(name: str) -> None:
    """Makes a Kubernetes work pool at the Prefect API, as its worker does."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    with get_client(sync_client=True) as client:
        pool = WorkPoolCreate(name=name, type="kubernetes", base_job_template=template())
        client.create_work_pool(pool)


def deploy_small(repositories: Repositories, pool: str) -> str:
    """The id of the small example's deployment into the work pool, made as `modelflight deploy` does it."""
    from prefect.client.orchestration import get_client

    from flows.deploy_models import _form
    from tasks.apply_deployments import apply_deployments
    from tasks.config.load import load_project
    from tasks.deployment.desired import RELEASE_ENTRYPOINT, release_deployments
    from tasks.deployment.plan import plan_deployments
    from tasks.notebook.checkout import check_out

    address = str(repositories.notebooks)
    with tempfile.TemporaryDirectory() as sources:
        project = load_project(check_out(address, "main", Path(sources)).directory)
    wanted = release_deployments(pool, address, "main", project, _form(RELEASE_ENTRYPOINT), pool)
    actions = plan_deployments(wanted, (), known=lambda _: True, prune=False)
    with get_client(sync_client=True) as client:
        assert apply_deployments(client, actions, client.create_flow_from_name) == []
        return str(client.read_deployment_by_name(wanted[0].title).id)


def job_of(flow_run: str, pool: str) -> Job:
    """The Job that Prefect's Kubernetes worker makes for the flow run."""
    return asyncio.run(_job_of(flow_run, pool))


async def _job_of(flow_run: str, pool: str) -> Job:
    from prefect.client.orchestration import get_client
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    async with get_client() as client:
        configuration = await KubernetesWorkerJobConfiguration.resolve_for_flow_run(
            await client.read_flow_run(UUID(flow_run)),
            client=client,
            work_pool=await client.read_work_pool(pool),
            worker_name="worker",
        )
        return configuration.job_manifest


@contextmanager
def pod(job: Job, folder: Path, secret: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The Job's pod as a process, with its output in `folder/log`; at the end of the block it is killed.

    `secret` are the variables in the Secret `modelflight-release`.
    """
    specification = job["spec"]["template"]["spec"]
    (container,) = specification["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": SECRET, "optional": True}}]
    with _empty(folder / "pod") as scratch:
        places = {"/opt/modelflight/bin": Path(sys.executable).parent}
        for each in container["volumeMounts"]:
            places[each["mountPath"]] = Path(scratch, each["name"])
            places[each["mountPath"]].mkdir()

        def here(value: str) -> str:
            return ":".join(str(places.get(path, path)) for path in value.split(":"))

        given = {each["name"]: each["value"] for each in container["env"]}
        given.pop("PREFECT_HOME", None)  # of the tests, which are the worker here
        image = {name: here(value) for name, value in IMAGE.environment.items()}
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                container["args"],
                cwd=here(IMAGE.all("WORKDIR")[0]),
                # What the tests set about the machine: no Git configuration of the user's.
                env={"GIT_CONFIG_GLOBAL": os.devnull, "TMPDIR": here("/tmp"), **image, **secret, **given},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                _kill_session(process.pid)
                process.wait()


@contextmanager
def _empty(folder: Path) -> Iterator[Path]:
    """An empty folder of the same name for each pod."""
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _kill_session(session: int) -> None:
    """Kills a session's processes: steps of a pipeline are groups of their own."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "-s", str(session)], capture_output=True, text=True, check=False
    )
    for process in map(int, found.stdout.split()):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue

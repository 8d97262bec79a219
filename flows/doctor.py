"""Whether everything that is registered can really be used: each block is tried."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import PrefectHTTPStatusError

from flows.blocks import (
    ArtifactStore,
    FleetRepository,
    ImageRegistry,
    KubeflowEndpoint,
    KubernetesCluster,
    NotebookRepository,
)
from flows.registered import B, Registered, blocks
from flows.settings import Home, work_pool
from tasks.address import redact
from tasks.artifacts.keep import check_store
from tasks.clusters.access import check_access
from tasks.clusters.connection import connected
from tasks.config.load import load_project
from tasks.errors import InvalidInput, ModelflightError, PrefectUnreachable
from tasks.gitops.repository import cloned
from tasks.gitops.target import FleetTarget
from tasks.keyring import holding
from tasks.kubeflow.health import check_health
from tasks.notebook.checkout import check_out
from tasks.notebook.fit import check_model
from tasks.oci.images import open_images

_AT_A_TIME = 8


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: what it is, what it said, or the error that says what to do."""

    subject: str
    said: str = ""
    error: ModelflightError | None = None


def examine(report: Callable[[str], None]) -> list[Finding]:
    """Tries everything that is registered, several at a time; never stops at the first failure."""
    tries = [("Prefect", _check_worker), *_tries()]
    with holding(Registered.read().keyring), ThreadPoolExecutor(_AT_A_TIME) as pool:
        running = [
            pool.submit(copy_context().run, _tried, subject, attempt, report) for subject, attempt in tries
        ]
        return [each.result() for each in running]


def _tries() -> Iterator[tuple[str, Callable[[], str]]]:
    yield from _of(NotebookRepository, "notebook repository", _check_notebooks)
    for name, notebooks in blocks(NotebookRepository)[0].items():
        if notebooks.artifacts:
            yield f"artifact store of {name}", partial(_check_store, notebooks.artifacts)
    yield from _of(FleetRepository, "fleet repository", _check_fleet)
    yield from _of(ArtifactStore, "artifact store", _check_store)
    yield from _of(ImageRegistry, "image registry", _check_registry)
    yield from _of(KubeflowEndpoint, "Kubeflow", _check_kubeflow)
    yield from _of(KubernetesCluster, "cluster", _check_cluster)


def _of(kind: type[B], called: str, check: Callable[[B], str]) -> Iterator[tuple[str, Callable[[], str]]]:
    usable, broken = blocks(kind)
    yield from ((f"{called} {name}", partial(check, block)) for name, block in usable.items())
    yield from ((f"{called} {name}", partial(_tell, error)) for name, error in broken.items())


def _tell(error: ModelflightError) -> str:
    raise error


def _tried(subject: str, attempt: Callable[[], str], report: Callable[[str], None]) -> Finding:
    try:
        return Finding(subject, attempt())
    except ModelflightError as error:
        return Finding(subject, error=error)
    except Exception as error:  # noqa: BLE001 - the other findings are not to be lost
        what = f"The check itself failed: {type(error).__name__}."
        return Finding(subject, error=ModelflightError(what, why=redact(str(error))))
    finally:
        report(f"tried {subject}")


def _check_worker() -> str:
    pool = work_pool()
    with get_client(sync_client=True) as client:
        version = client.api_version()
        try:
            workers = client.read_workers_for_work_pool(pool, offset=0, limit=200)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            workers = []
    online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
    if not online:
        raise PrefectUnreachable(
            "No worker takes releases.",
            where=f"work pool {pool}",
            next_step=f"Run `modelflight up`, or `prefect worker start --pool {pool}` where they are to run.",
        )
    return f"version {version}, {online} worker(s) in the work pool {pool}"


def _check_notebooks(block: NotebookRepository) -> str:
    source = check_out(block.address, block.branch, Home().sources)
    models = load_project(source.directory).models
    for model in models:
        check_model(model, source.directory)
    if not block.webhook_secret.get_secret_value():
        raise InvalidInput(
            "Its webhooks are refused.",
            where="webhook_secret",
            why="The block has no secret, so nothing could tell who sends them.",
            next_step="Set one in the block and on the Git server. Without it, pushes wait for the regular "
            "comparison.",
        )
    return f"{', '.join(model.name for model in models)} at {source.commit[:12]}"


def _check_fleet(block: FleetRepository) -> str:
    with cloned(FleetTarget(block.address, block.branch, "", "")) as fleet:
        fleet.check_push()
        return f"branch {block.branch} at {fleet.head()[:12]} can be pushed to"


def _check_store(block: ArtifactStore) -> str:
    check_store(block.address)
    return f"{block.address} can be written to"


def _check_registry(block: ImageRegistry) -> str:
    if not block.repository:
        raise InvalidInput(
            "The registry was not tried.",
            where=block.host,
            why="The block names no repository that an upload may begin in.",
            next_step="Set `repository` to one that releases push to, such as models/wine.",
        )
    address = f"{block.host}/{block.repository}"
    with open_images(address) as images:
        images.check()
    return f"{address} takes uploads"


def _check_kubeflow(block: KubeflowEndpoint) -> str:
    return f"version {check_health(block.reached)}"


def _check_cluster(block: KubernetesCluster) -> str:
    with connected(block.reached) as client:
        return f"Kubernetes {check_access(client, str(block.reached))}, canaries can be followed"

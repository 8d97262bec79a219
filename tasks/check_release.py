"""Checks everything that can be checked before the release's first effect."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run

from tasks.address import resolve_address
from tasks.config.load import FILE_NAME, load_project
from tasks.data_version import version_of
from tasks.errors import ConfigInvalid
from tasks.gitops.bump import released_ids, serving_image
from tasks.gitops.target import FleetTarget
from tasks.inputs import inputs_of
from tasks.model import Model
from tasks.notebook.checkout import on_this_machine
from tasks.notebook.fit import check_model
from tasks.release import ReleaseId, ReleasePlan, Source
from tasks.step import name_flow_run, step

SKIPPED = "Skipped"
_MOST_RUNS = 200  # what Prefect's API gives at once


@step(
    "check release",
    lambda plan: f"{plan.release_id}: modelflight.yaml, notebook and fleet fit together",
    timeout_seconds=600,
)
def check_release(source: Source, model_name: str | None, attempt: int | None, retrain: bool) -> ReleasePlan:
    """The plan of the release: its id, and the model's settings as committed at `source`.

    Without an `attempt` it is the first one, or, to `retrain`, the next that was not made yet.
    """
    source = on_this_machine(source)
    _check_committed(source)
    model = load_project(source.directory).model(model_name)
    check_model(model, source.directory)
    fleet_address = resolve_address(model.fleet.repository, source.address)
    target = FleetTarget(fleet_address, model.fleet.branch, model.fleet.path, model.image)
    if attempt is None:
        attempt = _next_attempt(model, source, released_ids(target)) if retrain else 1
    release_id = ReleaseId.of(model.name, source.commit, attempt)
    name_flow_run(release_id, [f"model:{model.name}", f"commit:{source.commit[:12]}"])
    serving_image(target, before=release_id)
    data = {address: version_of(address) for address in model.data}
    return ReleasePlan(release_id, model, source, fleet_address, inputs_of(model, source.directory, data))


def _check_committed(source: Source) -> None:
    if not (source.directory / FILE_NAME).exists():
        raise ConfigInvalid(
            f"The commit has no {FILE_NAME} at its top.",
            where=f"{source.address}, commit {source.commit[:12]}",
            next_step="Write one there with `modelflight init`, commit it, and release that commit.",
        )


def _next_attempt(model: Model, source: Source, released: list[str]) -> int:
    """The attempt after the last one that the fleet's history or Prefect's flow runs tell of.

    The fleet forgets nothing that was released; Prefect also knows what was refused or failed.
    """
    prefix = ReleaseId.of(model.name, source.commit, 1).removesuffix("1")
    tags = [f"model:{model.name}", f"commit:{source.commit[:12]}"]
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=tags)),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=_MOST_RUNS,
        )
    started = [run.name for run in runs if run.id != UUID(flow_run.id) and run.state_name != SKIPPED]
    numbers = [name.removeprefix(prefix) for name in (*released, *started) if name.startswith(prefix)]
    return max((int(number) for number in numbers if number.isdecimal()), default=0) + 1

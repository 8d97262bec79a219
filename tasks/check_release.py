"""Checks everything that can be checked before the release's first effect."""

from tasks.address import resolve_address
from tasks.config.load import FILE_NAME, load_project
from tasks.errors import ConfigInvalid
from tasks.gitops.bump import serving_image
from tasks.gitops.target import FleetTarget
from tasks.notebook.fit import check_model
from tasks.release import ReleaseId, ReleasePlan, Source
from tasks.step import name_flow_run, step


@step(
    "check release",
    lambda plan: f"{plan.release_id}: modelflight.yaml, notebook and fleet fit together",
    timeout_seconds=300,
)
def check_release(source: Source, model_name: str | None, attempt: int) -> ReleasePlan:
    """The plan of the release: its id, and the model's settings as committed at `source`."""
    _check_committed(source)
    model = load_project(source.directory).model(model_name)
    check_model(model, source.directory)
    release_id = ReleaseId.of(model.name, source.commit, attempt)
    name_flow_run(release_id, [f"model:{model.name}", f"commit:{source.commit[:12]}"])
    fleet_address = resolve_address(model.fleet.repository, source.address)
    target = FleetTarget(fleet_address, model.fleet.branch, model.fleet.path, model.image)
    serving_image(target, before=release_id)
    return ReleasePlan(release_id, model, source, fleet_address)


def _check_committed(source: Source) -> None:
    if not (source.directory / FILE_NAME).exists():
        raise ConfigInvalid(
            f"The commit has no {FILE_NAME} at its top.",
            where=f"{source.address}, commit {source.commit[:12]}",
            next_step="Write one there with `modelflight init`, commit it, and release that commit.",
        )

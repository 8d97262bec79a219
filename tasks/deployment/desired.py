"""What deployments there should be: one for each model, computed from its repository's modelflight.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tasks.deployment.description import describe_model
from tasks.deployment.form import release_form
from tasks.model import Model, Project, Schedule

TAG = "modelflight"
SLUG = "modelflight"  # of a deployment's schedule that is ours; others on it are people's
RELEASE_FLOW = "release-model"
RELEASE_ENTRYPOINT = "flows.release_model.release_model"
HEARTBEAT = timedelta(seconds=30)  # the shortest that Prefect takes

# Prefect wants a first time to count intervals from; a fixed one, so that it never differs.
_INTERVALS_FROM = "2020-01-01T00:00:00Z"


@dataclass(frozen=True)
class Timetable:
    """When a deployment starts by itself: a schedule in Prefect's form, and the parameters it passes."""

    rule: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """A deployment of a flow.

    At most `limit` runs of it at a time; `collision`, `ENQUEUE` or `CANCEL_NEW`, says what becomes of the
    next. `form` is the JSON Schema of its parameters, `environment` what its runs need to have set.
    """

    flow: str
    name: str
    entrypoint: str
    description: str
    tags: tuple[str, ...]
    parameters: Mapping[str, Any]
    form: Mapping[str, Any]
    work_pool: str
    collision: str
    limit: int | None = 1
    timetable: Timetable | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name as Prefect's command line takes it: `flow/name`."""
        return f"{self.flow}/{self.name}"

    @property
    def repository(self) -> str | None:
        """Name of the notebook repository that it belongs to; None for those that stand by themselves."""
        return next((tag.partition(":")[2] for tag in self.tags if tag.startswith("repository:")), None)


def release_deployments(
    name: str, address: str, branch: str, project: Project, form: Mapping[str, Any], work_pool: str
) -> list[Deployment]:
    """The deployments of the repository `name`; `form` is the JSON Schema of the flow's parameters."""
    return [_of_model(name, address, branch, model, form, work_pool) for model in project.models]


def _of_model(
    name: str, address: str, branch: str, model: Model, form: Mapping[str, Any], work_pool: str
) -> Deployment:
    watched = dict.fromkeys(f"path:{path}" for path in model.watched)
    return Deployment(
        flow=RELEASE_FLOW,
        name=f"{name}.{model.name}",
        entrypoint=RELEASE_ENTRYPOINT,
        description=describe_model(name, address, branch, model),
        tags=(TAG, f"repository:{name}", f"model:{model.name}", *watched),
        parameters={"repository": address, "branch": branch, "commit": branch, "model": model.name},
        form=release_form(form, name, address, branch, model.name),
        work_pool=work_pool,
        collision="ENQUEUE",
        timetable=_timetable(model.schedule),
        # The automation takes a run whose heartbeats stop for dead; Prefect's default is one in 180 seconds.
        environment={"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": f"{HEARTBEAT.total_seconds():.0f}"},
    )


def _timetable(schedule: Schedule | None) -> Timetable | None:
    if schedule is None:
        return None
    return Timetable({"cron": schedule.cron, "timezone": schedule.timezone}, {"retrain": True})


@dataclass(frozen=True)
class Standing:
    """A deployment that is there whatever is registered."""

    flow: str
    entrypoint: str
    description: str
    every: timedelta | None = None

    def deployment(self, form: Mapping[str, Any], work_pool: str) -> Deployment:
        """The deployment; `form` is the JSON Schema of the flow's parameters."""
        rule = self.every and {
            "interval": self.every.total_seconds(),
            "anchor_date": _INTERVALS_FROM,
            "timezone": "UTC",
        }
        return Deployment(
            flow=self.flow,
            name=self.flow,
            entrypoint=self.entrypoint,
            description=self.description,
            tags=(TAG,),
            parameters={},
            form=form,
            work_pool=work_pool,
            collision="CANCEL_NEW",
            timetable=Timetable(rule) if rule else None,
        )


def standing(sync_interval: timedelta) -> tuple[Standing, ...]:
    """The deployments that are there whatever is registered; `sync_interval` is that of sync-models."""
    return (
        Standing(
            "sync-models",
            "flows.sync_models.sync_models",
            "Starts the releases that a lost webhook did not: compares the head of each registered branch "
            "with the newest release.",
            every=sync_interval,
        ),
    )

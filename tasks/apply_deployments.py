"""Applies plans: creates, changes, pauses and deletes deployments and automations in Prefect."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from httpx import HTTPStatusError, Response
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from tasks.address import redact
from tasks.deployment.automations import Automation
from tasks.deployment.desired import SLUG, TAG, Deployment, Timetable
from tasks.deployment.plan import GONE, Action, Do, FoundAutomation, FoundDeployment
from tasks.errors import ModelflightError


@dataclass(frozen=True)
class Problem:
    """What could not be done, by its name."""

    subject: str
    error: ModelflightError


def apply_deployments(
    client: SyncPrefectClient, actions: Iterable[Action], flow_id: Callable[[str], UUID]
) -> list[Problem]:
    """Does the actions one by one and returns those that Prefect refused; the others are done.

    `flow_id` tells the id of the flow of that name.
    """
    problems = []
    for action in actions:
        try:
            _apply(client, action, flow_id)
        except (PrefectHTTPStatusError, ObjectNotFound) as error:
            found = error.http_exc if isinstance(error, ObjectNotFound) else error
            answer = cast(HTTPStatusError, found).response
            if answer.status_code == 404 and action.do in (Do.PAUSE, Do.DELETE):
                continue  # somebody else deleted it meanwhile
            problems.append(Problem(action.title, _refused(action, answer)))
    return problems


def _apply(client: SyncPrefectClient, action: Action, flow_id: Callable[[str], UUID]) -> None:
    match action.do, action.wanted, action.found:
        case Do.CREATE, Deployment() as wanted, _:
            _create(client, flow_id(wanted.flow), wanted)
        case ((Do.UPDATE | Do.UNPAUSE), Deployment() as wanted, FoundDeployment() as found):
            _update(client, action, wanted, found)
        case Do.PAUSE, _, FoundDeployment() as found:
            tags = [*found.deployment.tags, GONE]
            client.update_deployment(found.id, DeploymentUpdate(paused=True, tags=tags))
        case Do.DELETE, _, FoundDeployment() as found:
            client.delete_deployment(found.id)
        case Do.CREATE, Automation() as wanted, _:
            client.create_automation(_automation(wanted, enabled=True))
        case Do.UPDATE, Automation() as wanted, FoundAutomation() as found:
            client.update_automation(found.id, _automation(wanted, enabled=found.enabled))
        case Do.DELETE, _, FoundAutomation() as found:
            client.delete_automation(found.id)


def _create(client: SyncPrefectClient, flow: UUID, wanted: Deployment) -> None:
    client.create_deployment(
        flow_id=flow,
        name=wanted.name,
        entrypoint=wanted.entrypoint,
        description=wanted.description,
        tags=list(wanted.tags),
        parameters=dict(wanted.parameters),
        parameter_openapi_schema=dict(wanted.form),
        enforce_parameter_schema=True,
        work_pool_name=wanted.work_pool,
        concurrency_limit=wanted.limit,
        concurrency_options=_options(wanted),
        job_variables={"env": dict(wanted.environment)} if wanted.environment else {},
        schedules=[_schedule(wanted.timetable)] if wanted.timetable else [],
    )


def _update(client: SyncPrefectClient, action: Action, wanted: Deployment, found: FoundDeployment) -> None:
    """Sends what differs and no more: a work pool that is named again gets its default queue back."""
    bodies: dict[str, Callable[[], dict[str, Any]]] = {
        "entrypoint": lambda: {"entrypoint": wanted.entrypoint},
        "description": lambda: {"description": wanted.description},
        "tags": lambda: {"tags": list(wanted.tags)},
        "parameters": lambda: {"parameters": dict(wanted.parameters)},
        "form": lambda: {"parameter_openapi_schema": dict(wanted.form), "enforce_parameter_schema": True},
        "work_pool": lambda: {"work_pool_name": wanted.work_pool},
        "limit": lambda: {"concurrency_limit": wanted.limit},
        "collision": lambda: {"concurrency_options": _options(wanted)},
        "environment": lambda: {
            "job_variables": {
                **found.job_variables,
                "env": {**found.deployment.environment, **wanted.environment},
            }
        },
    }
    changed = [change.field for change in action.changes]
    body = {key: value for field in changed if field in bodies for key, value in bodies[field]().items()}
    if action.do is Do.UNPAUSE:
        body["paused"] = False
    if body:
        client.update_deployment(found.id, DeploymentUpdate(**body))
    if "timetable" in changed:
        _update_schedule(client, wanted.timetable, found)


def _update_schedule(client: SyncPrefectClient, wanted: Timetable | None, found: FoundDeployment) -> None:
    if found.schedule is None and wanted is not None:
        client.create_deployment_schedules(found.id, [_schedule(wanted)])
    elif found.schedule is not None and wanted is not None:
        schedule = _schedule(wanted)
        client.update_deployment_schedule(
            found.id, found.schedule, schedule=schedule.schedule, parameters=schedule.parameters
        )
    elif found.schedule is not None:
        client.delete_deployment_schedule(found.id, found.schedule)


def _schedule(timetable: Timetable) -> DeploymentScheduleCreate:
    kind = CronSchedule if "cron" in timetable.rule else IntervalSchedule
    schedule = kind.model_validate(dict(timetable.rule))
    return DeploymentScheduleCreate(schedule=schedule, parameters=dict(timetable.parameters), slug=SLUG)


def _options(wanted: Deployment) -> ConcurrencyOptions:
    return ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy(wanted.collision))


def _automation(wanted: Automation, *, enabled: bool) -> AutomationCore:
    return AutomationCore.model_validate(
        {
            "name": wanted.name,
            "description": wanted.description,
            "enabled": enabled,
            "tags": [TAG],
            "trigger": wanted.trigger,
            "actions": wanted.actions,
        }
    )


def _refused(action: Action, answer: Response) -> ModelflightError:
    return ModelflightError(
        f"Prefect refuses to {action.do} the {action.kind}.",
        where=action.title,
        why=redact(f"{answer.status_code}: {answer.text[:500]}"),
        next_step="Look into the log of the Prefect server; give the same command again when it is mended.",
    )

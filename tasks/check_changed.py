"""Checks whether a model that a schedule trains again can become another one."""

import json
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.runtime import flow_run

from tasks.catch_up import too_late
from tasks.lineage.trained import Trained, read_rows, trained_key
from tasks.model import Schedule
from tasks.release import ReleasePlan
from tasks.step import step

_MOST = 50  # of the newest, in which a model of the same name in other repositories may be, too


@step(
    "check changed", lambda reason: f"skipped: {reason}" if reason else "to be trained", timeout_seconds=300
)
def check_changed(plan: ReleasePlan) -> str:
    """Why the model is not trained again; empty when it is."""
    schedule = plan.model.schedule
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(flow_run.id))
        if schedule and run.auto_scheduled and (late := _late(client, run, schedule)):
            return late
        last = None if schedule and schedule.always else _last(client, plan)
    if last is None or plan.inputs.changes(last.inputs):
        return ""
    same = "the model's files, settings, data and locked packages are the same"
    return f"nothing changed since {last.release_id}, which ended as {last.verdict}: {same}"


def _late(client: SyncPrefectClient, run: FlowRun, schedule: Schedule) -> str:
    now = datetime.now(UTC)
    due = run.expected_start_time or now
    waiting = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[run.deployment_id] if run.deployment_id else []),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=due, before_=now),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
    later = [
        each.expected_start_time
        for each in waiting
        if each.auto_scheduled and each.expected_start_time and each.expected_start_time > due
    ]
    return too_late(schedule, due, run.start_time or now, max(later, default=None))


def _last(client: SyncPrefectClient, plan: ReleasePlan) -> Trained | None:
    """What the model's last release that trained was trained on."""
    artifacts = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[trained_key(plan.model.name)])),
        sort=ArtifactSort.CREATED_DESC,
        limit=_MOST,
    )
    found = (read_rows(json.loads(str(artifact.data))) for artifact in artifacts)
    return next((last for last in found if last and last.repository == plan.source.address), None)

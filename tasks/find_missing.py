"""Finds the models of a repository that no release was started for, as they are at the branch's head."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.tasks import exponential_backoff

from tasks.comparison import SUPERSEDED, Changed, Comparison, Deployed, Registration, compare
from tasks.config.changed import changed_models
from tasks.config.load import FILE_NAME
from tasks.errors import ConfigInvalid
from tasks.notebook.history import History, history
from tasks.release import CommitSha
from tasks.start import skips_release
from tasks.step import retry_can_help

_MOST_RUNS = 50
_CLOCKS_DIFFER_BY = timedelta(minutes=5)


@task(
    name="find missing",
    task_run_name="find missing: {registration.name}",
    tags=["modelflight"],
    retries=3,
    retry_condition_fn=retry_can_help,
    retry_delay_seconds=exponential_backoff(2),
    retry_jitter_factor=0.5,
    cache_policy=NO_CACHE,  # a sync that is run again looks again
    persist_result=False,
)
def find_missing(registration: Registration, deployed: Mapping[str, Deployed]) -> Comparison:
    """The repository's head against the runs of its models' deployments, which are given without runs."""
    with history(registration.address, registration.branch) as found:
        runs = {model: _with_runs(each) for model, each in deployed.items()}
        skipped = skips_release(found.message(found.head))
        findings = compare(registration.address, found.commits, _changed(found, registration), runs, skipped)
        return Comparison(registration, found.head, findings)


def _changed(found: History, registration: Registration) -> Changed:
    @cache
    def text(commit: CommitSha) -> str | None:
        return found.read(commit, FILE_NAME)

    def between(old: CommitSha | None, new: CommitSha) -> frozenset[str]:
        files = found.changed_files(old, new) if old else ()
        return changed_models(old and text(old), text(new) or "", files)

    @cache
    def changed(old: CommitSha | None) -> frozenset[str]:
        if old is None:
            return between(None, found.head)
        steps = found.since(old)
        counted = [step for step in steps if not skips_release(step.message)]
        if len(counted) == len(steps):
            return between(old, found.head)
        # What a commit that asks for no release changed is not released because of a later one either.
        models: set[str] = set()
        for step in counted:
            with suppress(ConfigInvalid):  # of a commit that was repaired since, by one that changed all
                models |= between(step.before, step.commit)
        return changed(None) & models

    if text(found.head) is None:
        raise ConfigInvalid(
            f"There is no {FILE_NAME}.",
            where=f"{registration.address}, branch {registration.branch}",
            next_step="Write one with `modelflight init` and push it.",
        )
    return changed


def _with_runs(deployed: Deployed) -> Deployed:
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployed.id]),
        # Those that a schedule announced for later would fill the answer.
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) + _CLOCKS_DIFFER_BY),
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=_MOST_RUNS
        )
    commits = [(commit, _is_void(run)) for run in runs if (commit := _commit(run))]
    return replace(
        deployed,
        started=tuple(commit for commit, void in commits if not void),
        void=tuple(commit for commit, void in commits if void),
    )


def _is_void(run: FlowRun) -> bool:
    # What crashed later was seen by people, or is taken up again; but nothing takes up what never ran.
    crashed = run.state_type is StateType.CRASHED and run.run_count == 0
    return crashed or run.state_name == SUPERSEDED


def _commit(run: FlowRun) -> str | None:
    """What the run releases; None where it is for a branch and has not begun."""
    given = str(run.parameters.get("commit", ""))
    if CommitSha.pattern.fullmatch(given):
        return given[:12]
    return next((tag.removeprefix("commit:") for tag in run.tags if tag.startswith("commit:")), None)

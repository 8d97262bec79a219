"""Starts the releases that a comparison found missing."""

from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client

from tasks.comparison import Comparison, Finding
from tasks.start import Start
from tasks.step import report


@task(
    name="start missing",
    task_run_name="start missing: {comparison.registration.name}",
    tags=["modelflight"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def start_missing(comparison: Comparison) -> Comparison:
    """The comparison, with what became of each start; one that a webhook made meanwhile is left to it."""
    with get_client(sync_client=True) as client:
        return replace(comparison, findings=tuple(_started(client, each) for each in comparison.findings))


def _started(client: SyncPrefectClient, finding: Finding) -> Finding:
    if finding.start is None:
        return finding
    new = _start(client, finding.start)
    outcome = f"{'started' if new else 'started by another meanwhile'}: {finding.outcome}"
    report(f"{finding.model} at {finding.start.commit[:12]}: {outcome}")
    return replace(finding, outcome=outcome)


def _start(client: SyncPrefectClient, start: Start) -> bool:
    """Whether there was no run of the key; the client's own method does not tell."""
    answer = client.request(
        "POST",
        "/deployments/{id}/create_flow_run",
        path_params={"id": start.deployment},
        json={"parameters": start.parameters, "tags": start.tags, "idempotency_key": start.key},
    )
    return answer.status_code == 201

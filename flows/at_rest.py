"""Runs at rest, which no process runs, can be cancelled at once.

Prefect cancels a run through the process that it knows of, and still knows of it when it has ended: cancelled
while it waits to be retried, the run would stay `Cancelling`, as nobody finds what is to be ended.
"""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun


def forget_process(flow_run: UUID | str) -> None:
    """Lets Prefect know that no process runs the flow run; one that starts it later is noted anew."""
    with get_client(sync_client=True) as client:
        client.request(
            "PATCH", "/flow_runs/{id}", path_params={"id": str(flow_run)}, json={"infrastructure_pid": None}
        )


def at_rest(flow: Any, flow_run: FlowRun, state: Any) -> None:
    """Hook for a flow run that failed, crashed or was cancelled."""
    forget_process(flow_run.id)

"""Runs at rest, which no process runs, can be cancelled at once.

Prefect cancels a run through the process that it knows of, and still knows of it when it has ended: cancelled
while it waits to be retried, the run would stay `Cancelling`, as nobody finds what is to be ended.
"""

import time
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event

from tasks.deployment.automations import AT_REST

_BEHIND = 2  # seconds


def forget_process(flow_run: UUID | str) -> None:
    """Lets Prefect know that no process runs the flow run; one that starts it later is noted anew."""
    with get_client(sync_client=True) as client:
        client.request(
            "PATCH", "/flow_runs/{id}", path_params={"id": str(flow_run)}, json={"infrastructure_pid": None}
        )


def at_rest(flow: Any, flow_run: FlowRun, state: Any) -> None:
    """Hook for a flow run that ended, in whatever way.

    Its first heartbeat, sent by a thread, can reach Prefect after the end of a run that ends at once; with no
    word after it, the run would be held for dead and scheduled again. The event takes the heartbeat's way,
    some way behind: Prefect looks at two events at a time, and may be done with the later one first. Of what
    crashed or was cancelled the worker tells, some time after its last heartbeat.
    """
    forget_process(flow_run.id)
    if flow_run.deployment_id:
        if state.is_completed() or state.is_failed():
            time.sleep(_BEHIND)
        emit_event(
            AT_REST,
            resource={"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"},
            related=[  # by which the automation knows the runs that it watches
                {
                    "prefect.resource.id": f"prefect.flow.{flow_run.flow_id}",
                    "prefect.resource.role": "flow",
                    "prefect.resource.name": flow.name,
                },
                {
                    "prefect.resource.id": f"prefect.deployment.{flow_run.deployment_id}",
                    "prefect.resource.role": "deployment",
                },
            ],
        )

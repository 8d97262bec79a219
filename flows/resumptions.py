"""A limit to how often a dead release goes on by itself."""

import os
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run

from tasks.errors import GivenUp, InvalidInput

_AT_REST = (StateType.FAILED, StateType.CANCELLED, StateType.COMPLETED)


def check_resumptions() -> None:
    """Lets a flow run go on that did not die too often.

    Raises:
        GivenUp: it died more often than `MODELFLIGHT_MAX_RESUMES` says, in a row.
        InvalidInput: that is no number.
    """
    most = _most()
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(UUID(flow_run.id))
    if (died := deaths(states)) > most:
        raise GivenUp(
            f"The release died {died} times and is not resumed once more.",
            where=f"flow run {flow_run.name}",
            why="Each time its process ended without a word: killed, out of memory, or with its machine.",
            next_step="Look at the machine's log. Then retry the run: it goes on where it stopped.",
        )


def deaths(states: Sequence[State]) -> int:
    """How often the flow run died since somebody last retried it on purpose.

    It died where it crashed, and where it was scheduled anew while it seemed to run. A run that failed or was
    cancelled goes on only when a person wants it to, which begins the count anew, as does an answer to an
    approval.
    """
    count = 0
    ordered = sorted(states, key=lambda state: state.timestamp)
    for before, state in pairwise(ordered):
        if state.type in _AT_REST or state.type is StateType.PAUSED:
            count = 0
        elif state.type is StateType.CRASHED or (
            state.type is StateType.SCHEDULED and before.type is StateType.RUNNING
        ):
            count += 1
    return count


def _most() -> int:
    said = os.environ.get("MODELFLIGHT_MAX_RESUMES") or "3"
    if not said.isdecimal():
        raise InvalidInput(
            "A setting has no usable value.",
            where=f"MODELFLIGHT_MAX_RESUMES={said}",
            next_step="Set it to a whole number, or unset it.",
        )
    return int(said)

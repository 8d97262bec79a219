"""A run of Kubeflow Pipelines as its API shows it: its state, and that of each step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from typing import Any

_STEP = "-step"  # how Kale ends the names of tasks


class RunState(StrEnum):
    """The API's `RuntimeState`, of runs and of tasks (v2beta1)."""

    UNSPECIFIED = "RUNTIME_STATE_UNSPECIFIED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    PAUSED = "PAUSED"

    @property
    def is_last(self) -> bool:
        """Whether nothing more happens by itself; somebody may retry a failed run all the same."""
        return self in (RunState.SUCCEEDED, RunState.SKIPPED, RunState.FAILED, RunState.CANCELED)


@dataclass(frozen=True)
class StepState:
    """A step's state; `seconds` is how long it took, 0 where the API does not tell."""

    state: RunState
    seconds: float


@dataclass(frozen=True)
class Run:
    """A run; `was_cancelled` says whether somebody ended it: it may end as FAILED, only its history tells.

    `steps` has those of the notebook that the API tells of, by the names of their tasks.
    """

    run_id: str
    state: RunState
    description: str
    was_cancelled: bool
    steps: Mapping[str, StepState]


def read_run(document: Mapping[str, Any]) -> Run:
    """The run that the API answered with; whatever it leaves out is empty here."""
    state = _state(document)
    # Of a run that was retried, what was before is over.
    since = [*takewhile(lambda each: each is not RunState.RUNNING, reversed(_history(document)))]
    return Run(
        run_id=str(document.get("run_id", "")),
        state=state,
        description=str(document.get("description", "")),
        was_cancelled=bool({RunState.CANCELING, RunState.CANCELED} & {state, *since}),
        steps={
            str(task["display_name"]): StepState(_state(task), _seconds(task))
            for task in _all(document.get("run_details"), "task_details")
            # The other nodes are what starts and holds the steps.
            if str(task.get("display_name", "")).endswith(_STEP)
        },
    )


def _all(document: Any, key: str) -> list[Mapping[str, Any]]:
    found = document.get(key) if isinstance(document, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _history(document: Mapping[str, Any]) -> list[RunState]:
    return [_state(each) for each in _all(document, "state_history")]


def _state(document: Mapping[str, Any]) -> RunState:
    try:
        return RunState(document.get("state", ""))
    except ValueError:  # left out, or newer than this list
        return RunState.UNSPECIFIED


def _seconds(task: Mapping[str, Any]) -> float:
    """From start to end, both by the server's clock; a task that goes on has the epoch for its end."""
    try:
        start, end = (datetime.fromisoformat(task[key]) for key in ("start_time", "end_time"))
        return max((end - start).total_seconds(), 0)
    except (KeyError, TypeError, ValueError):
        return 0

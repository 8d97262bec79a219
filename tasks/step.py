"""What all steps of the chain have in common as Prefect tasks: retries, persisted results, the clock."""

import functools
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import Task, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.tasks import exponential_backoff

from tasks.errors import ModelflightError
from tasks.release import Span

P = ParamSpec("P")
R = TypeVar("R")

_spans: dict[str, list[Span]] = defaultdict(list)


def step(
    name: str, describe: Callable[[Any], str], *, timeout_seconds: float
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A Prefect task for one step of the chain.

    Its result is persisted, so that a resumed flow run skips it. It is retried when the error says that this
    can help. `describe` tells a result in a few words, for the log and the timeline.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        @functools.wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            started = datetime.now(UTC)
            outcome = "failed"
            report("started", event="started")
            try:
                result = function(*args, **kwargs)
                outcome = describe(result)
                return result
            finally:
                seconds = (datetime.now(UTC) - started).total_seconds()
                report(outcome, event="ended")
                _spans[str(flow_run.id)].append(Span(name, started, seconds, outcome))

        return task(
            name=name,
            task_run_name=name,
            tags=["modelflight"],
            retries=3,
            retry_condition_fn=retry_can_help,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            persist_result=True,
            timeout_seconds=timeout_seconds,
        )(timed)

    return decorate


def report(line: str, event: str = "progress") -> None:
    """Logs `line` for the current step: in Prefect's log, and on the terminal of the command line.

    `event` (`started`, `progress`, `ended`) becomes an attribute of the log record, by which the command line
    knows Modelflight's own lines from Prefect's.
    """
    get_run_logger().info(line, extra={"modelflight_event": event})


def name_flow_run(name: str, tags: list[str]) -> None:
    """Gives the current flow run a name and tags that are known only now."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(flow_run.id), name=name, tags=tags)


def retry_can_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the error that ended the task says of itself that trying again can help."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, ModelflightError) and error.retryable


def take_spans() -> tuple[Span, ...]:
    """The steps that this process ran for the current flow run, in order; a second call finds none."""
    return tuple(_spans.pop(str(flow_run.id), ()))

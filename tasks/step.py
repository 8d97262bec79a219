"""What all steps of the chain have in common as Prefect tasks: retries, persisted results, the clock."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import Task, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.runtime import flow_run, task_run
from prefect.tasks import exponential_backoff

from tasks.address import redact
from tasks.errors import ModelflightError
from tasks.release import Span

P = ParamSpec("P")
R = TypeVar("R")

_spans: dict[str, list[Span]] = defaultdict(list)


def step(
    name: str, describe: Callable[[Any], str], *, timeout_seconds: float, kept: bool = True
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A Prefect task for one step of the chain.

    Its result is persisted, so that a resumed flow run skips it; one that is not to be `kept` runs each time.
    It is retried when the error says that this can help. `describe` tells a result in a few words, for the
    log and the timeline.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        @functools.wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            started, began = datetime.now(UTC), time.monotonic()
            # Unless it ends by itself: cancelled, Ctrl-C.
            outcome = "interrupted; tried again, the release goes on here"
            report("started", event="started")
            try:
                result = function(*args, **kwargs)
                outcome = describe(result)
                return result
            except ModelflightError as error:
                again = ", which may pass" if error.retryable else ""
                outcome = f"failed{again}: {error.what}"
                raise
            except Exception:
                outcome = "failed"
                raise
            finally:
                report(outcome, event="ended")
                span = Span(name, started, time.monotonic() - began, outcome)
                _spans[str(flow_run.id)].append(span)

        return task(
            name=name,
            task_run_name=name,
            tags=["modelflight"],
            retries=3,
            retry_condition_fn=retry_can_help,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            persist_result=kept,
            timeout_seconds=timeout_seconds,
        )(timed)

    return decorate


def report(line: str, event: str = "progress") -> None:
    """Logs `line` for the current step: in Prefect's log, and on the terminal of the command line.

    Prefect's pages do not show which step a line is of, so its name is put before it. `event` (`started`,
    `progress`, `ended`) and `line` become attributes of the log record, by which the command line knows
    Modelflight's own lines from Prefect's.
    """
    extra = {"modelflight_event": event, "modelflight_line": line}
    get_run_logger().info("%s: %s", task_run.name, line, extra=extra)


def leave_artifact(create: Callable[..., object], **arguments: Any) -> None:
    """Leaves an artifact in Prefect with one of its `create_..._artifact` functions.

    Artifacts are a window, not a step: where Prefect does not take one, the release goes on and the log says
    so.
    """
    with _unimportant("An artifact could not be stored in Prefect"):
        create(**arguments)


def name_flow_run(name: str, tags: list[str]) -> None:
    """Gives the current flow run a name, and tags beside those it has, that are known only now."""
    with _unimportant("The flow run could not be named"), get_client(sync_client=True) as client:
        client.update_flow_run(UUID(flow_run.id), name=name, tags=sorted({*flow_run.tags, *tags}))


@contextmanager
def _unimportant(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises
        get_run_logger().warning("%s: %s", what, redact(str(error)))


def retry_can_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the error that ended the task says of itself that trying again can help."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, ModelflightError) and error.retryable


def take_spans() -> tuple[Span, ...]:
    """The steps that this process ran for the current flow run, in order; a second call finds none."""
    return tuple(_spans.pop(str(flow_run.id), ()))

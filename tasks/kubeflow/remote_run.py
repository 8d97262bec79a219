"""Running a compiled pipeline on Kubeflow Pipelines: made once, found again, followed to its end."""

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import UUID

import httpx

from tasks.errors import (
    KubeflowAnswerLost,
    KubeflowRefused,
    KubeflowUnreachable,
    ModelflightError,
    StepFailed,
)
from tasks.kubeflow.connection import Connection, Request, connect
from tasks.kubeflow.endpoint import Endpoint
from tasks.kubeflow.run_state import Run, RunState
from tasks.kubeflow.runs import create, creation, look_up, terminate
from tasks.kubeflow.workflows import failure_log, stop_workflows
from tasks.model import Parameter

Progress = Callable[[str], None]
_LOOKS = 6  # after a lost answer; in 20 s the server has written the run, or never will


@dataclass(frozen=True)
class Pace:
    """How often to ask, and for how long to bear that nothing answers; all in seconds."""

    shortest: float = 1
    longest: float = 30
    patience: float = 300

    def pauses(self) -> Iterator[float]:
        """Pauses between requests, each longer by half than the one before; an hour has some 130."""
        pause = self.shortest
        while True:
            yield pause
            pause = min(pause * 1.5, self.longest)


_PACE = Pace()


def run_pipeline(
    ir: Path,
    run_id: UUID,
    runs: Path,
    *,
    endpoint: Endpoint,
    identity: str,
    name: str,
    overrides: Mapping[str, Parameter] | None = None,
    progress: Progress = lambda _line: None,
    pace: Pace = _PACE,
) -> Run:
    """Runs the pipeline at `ir` as `run_id` on Kubeflow Pipelines and returns the run when it has succeeded.

    A run with this id that is there already is followed, whatever its state. None is made a second time: a
    file in `runs` says that it was asked for, and a second caller waits while the first one asks. `progress`
    gets a line for each step, and where the run waits. An exception that comes from elsewhere, such as
    KeyboardInterrupt, terminates the run.

    Raises:
        InvalidInput, ParameterInvalid: see `creation`; nothing was asked for.
        StepFailed: names the step, with the end of its log where the cluster is reached.
        KubeflowUnreachable: it does not answer; called again, this goes on with the same run.
        KubeflowRefused: it refuses, has another run with this id, or may have begun what it does not tell of.
    """
    request = creation(ir, run_id, name, identity, overrides or {})
    with connect(endpoint) as connection, _ended_on_the_way_out(connection, run_id, progress):
        run = _submitted(connection, request, run_id, runs / f"{run_id}.asked", pace)
        if run.run_id != str(run_id):
            raise KubeflowRefused(
                "Kubeflow Pipelines gave the run another id.",
                str(endpoint),
                f"It was to be {run_id}, and it is {run.run_id}.",
                "Terminate that run there, and use Kubeflow Pipelines 2.17 or newer.",
            )
        if run.description not in ("", identity):
            raise KubeflowRefused(
                "Kubeflow Pipelines has a run with this id for another pipeline.",
                f"run {run_id}",
                "The notebook was compiled anew since, with another result.",
                "Release it as a new attempt.",
            )
        progress(f"run {run_id} on Kubeflow Pipelines")
        run = _followed(connection, run_id, progress, pace)
        if run.state not in (RunState.SUCCEEDED, RunState.SKIPPED):
            raise _failure(connection, run_id, run)
        return run


@contextmanager
def _ended_on_the_way_out(connection: Connection, run_id: UUID, progress: Progress) -> Iterator[None]:
    """Terminates the run when the block is left by something else than an error of Modelflight."""
    try:
        yield
    except ModelflightError:
        raise
    except BaseException:
        try:
            terminate(connection, run_id)
        except ModelflightError as error:
            progress(f"the run was not ended on Kubeflow Pipelines: {error.why}")
        raise


def _submitted(connection: Connection, request: Request, run_id: UUID, asked: Path, pace: Pace) -> Run:
    """The run, made unless it is there or was asked for before, which the file `asked` says."""
    asked.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with asked.open("a+", encoding="utf-8") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)  # another attempt may be making it
        if run := look_up(connection, run_id):
            return run
        mark.seek(0)
        why = mark.read()
        if not why:
            mark.write("It was asked for before.")
            mark.flush()
            try:
                return create(connection, request)
            except KubeflowAnswerLost as error:
                why = error.why
            except (KubeflowRefused, KubeflowUnreachable):
                mark.truncate(0)  # nothing was begun
                raise
        for pause in islice(pace.pauses(), _LOOKS):
            if run := _seen(connection, run_id):
                return run
            time.sleep(pause)
        raise KubeflowRefused(
            "Kubeflow Pipelines may have begun a run that it does not tell of.",
            f"{connection.endpoint}: run {run_id}",
            f"{why} {_stopped(connection, run_id)}",
            "Correct what it complains of, and release as a new attempt, which has another run id.",
        )


def _seen(connection: Connection, run_id: UUID) -> Run | None:
    try:
        return look_up(connection, run_id)
    except KubeflowUnreachable:
        return None


def _stopped(connection: Connection, run_id: UUID) -> str:
    label = f"pipeline/runid={run_id}"
    try:
        if connection.kubernetes is not None:
            names = stop_workflows(connection, run_id)
            return f"Workflows with the label {label} were deleted: {', '.join(names) or 'none was there'}."
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        pass
    return f"A Workflow with the label {label} may run in the namespace {connection.endpoint.namespace}."


def _followed(connection: Connection, run_id: UUID, progress: Progress, pace: Pace) -> Run:
    """The run when it has ended. A failed one is looked at twice: somebody may have it retried."""
    before: Run | None = None
    heard, pauses = time.monotonic(), pace.pauses()
    while True:
        try:
            run = look_up(connection, run_id)
        except KubeflowUnreachable as error:
            if time.monotonic() - heard > pace.patience:
                raise
            progress(f"waiting for Kubeflow Pipelines: {error.why}")
        else:
            heard = time.monotonic()
            if run is None:
                raise StepFailed(
                    "The run was deleted on Kubeflow Pipelines.",
                    f"run {run_id}",
                    next_step="Release as a new attempt.",
                )
            _tell(run, before, progress)
            failed_again = before is not None and before.state == run.state
            if run.state.is_last and (run.state is not RunState.FAILED or failed_again):
                return run
            before = run
        time.sleep(next(pauses))


def _tell(run: Run, before: Run | None, progress: Progress) -> None:
    if run.state in (RunState.PENDING, RunState.PAUSED, RunState.CANCELING) and (
        before is None or before.state != run.state
    ):
        progress(f"the run is {run.state.lower()}")
    for name, step in run.steps.items():
        known = before.steps.get(name) if before else None
        if known and known.state == step.state:
            continue
        if step.state is RunState.RUNNING:
            progress(f"{name} ...")
        elif step.state in (RunState.SUCCEEDED, RunState.SKIPPED):
            progress(f"{name} done in {step.seconds:.1f} s")


def _failure(connection: Connection, run_id: UUID, run: Run) -> StepFailed:
    where = f"{connection.endpoint}: run {run_id}"
    if run.was_cancelled:
        return StepFailed(
            "The run was cancelled on Kubeflow Pipelines.", where, next_step="Release as a new attempt."
        )
    failed = [name for name, step in run.steps.items() if step.state is RunState.FAILED]
    if not failed:
        return StepFailed(
            "The run failed on Kubeflow Pipelines.",
            where,
            "It names no step that failed.",
            "Look at the run's page, and at the log of the workflow controller.",
        )
    return StepFailed(
        f"The notebook's step {failed[0].removesuffix('-step')!r} failed on Kubeflow Pipelines.",
        where,
        failure_log(connection, run_id, failed[0]),
        "Correct the notebook and push again, or release as a new attempt.",
    )

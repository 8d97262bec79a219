"""Running a compiled pipeline on this machine: same components, no containers, no package installation."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import UUID

from packaging.requirements import InvalidRequirement, Requirement

from tasks.address import redact
from tasks.errors import NotSupported, StepFailed
from tasks.files import write_atomically
from tasks.kubeflow.ir import Step, read_ir
from tasks.kubeflow.outputs import collect_outputs
from tasks.model import Parameter

Progress = Callable[[str], None]
_GRACE_SECONDS = 10
_CELL = re.compile(r"^\s*# (.+, cell \d+)$", re.MULTILINE)


@dataclass(frozen=True)
class FinishedRun:
    """What a run on this machine left: the model's `files` in `directory`, and its metrics by name."""

    run_id: UUID
    directory: Path
    files: tuple[str, ...]
    metrics: Mapping[str, float]


def run_pipeline(
    ir: Path,
    run_id: UUID,
    runs: Path,
    *,
    identity: str,
    overrides: Mapping[str, Parameter] | None = None,
    progress: Progress = lambda _line: None,
) -> FinishedRun:
    """Runs the pipeline at `ir` in `runs/<run_id>` and returns its model and metrics.

    A run of the same `identity` that has finished there is returned as it stands. A second caller waits for
    the first. `progress` gets a line for each step and one before waiting. Only this user can look into the
    run's folder: its logs hold whatever the notebook prints.

    Raises:
        NotSupported: a construct or package that this machine cannot run; nothing was started.
        StepFailed: names the step, the cell and the exception, with the notebook's traceback.
        ModelMissing: see `collect_outputs`.
    """
    steps = read_ir(ir, overrides)
    _check_packages(steps)
    run = runs / str(run_id)
    runs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _exclusive(runs / f"{run_id}.lock", progress) as lock:
        if finished := _finished(run, identity):
            progress("already done, kept from the earlier run")
            return finished
        _remove(run)
        run.mkdir(mode=0o700)
        _prepare(run, steps)
        _execute(run, lock, progress)
        outputs = collect_outputs(run, steps)
        marker = {"identity": identity, "metrics": outputs.metrics, "files": outputs.files}
        write_atomically(run / "run.json", json.dumps(marker))
        return FinishedRun(run_id, run / "model", outputs.files, outputs.metrics)


@contextmanager
def executed(
    steps: tuple[Step, ...], run: Path, fill: Callable[[], object], progress: Progress
) -> Iterator[None]:
    """Runs `steps` that are no pipeline's in the folder `run`; inside the block what they left is there.

    The folder is made anew, and `fill` puts into it what the steps read.

    Raises:
        StepFailed: see `run_pipeline`.
    """
    run.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _exclusive(run.with_name(f"{run.name}.lock"), progress) as lock:
        _remove(run)
        run.mkdir(mode=0o700)
        fill()
        _prepare(run, steps)
        _execute(run, lock, progress)
        yield


def _finished(run: Path, identity: str) -> FinishedRun | None:
    """The outputs of a finished run; the marker is written last, so with it everything else is there."""
    try:
        marker = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if marker["identity"] != identity:
        return None
    return FinishedRun(UUID(run.name), run / "model", tuple(marker["files"]), marker["metrics"])


@contextmanager
def _exclusive(path: Path, progress: Progress) -> Iterator[int]:
    """Holds the lock at `path`; the file descriptor can be handed to a process that is to hold it too."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another release with the same run")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _remove(run: Path) -> None:
    """Takes away what an earlier run left, read-only folders too."""
    for folder, _, _ in os.walk(run):
        Path(folder).chmod(0o700)
    try:
        shutil.rmtree(run)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StepFailed(
            "What an earlier run left cannot be removed.",
            where=str(run),
            why=str(error),
            next_step="Remove the folder, then try again.",
        ) from None


def _check_packages(steps: tuple[Step, ...]) -> None:
    for package in sorted({package for step in steps for package in step.packages}):
        try:
            requirement = Requirement(package)
        except InvalidRequirement:
            raise NotSupported(
                f"The notebook needs {redact(package)!r}, which does not name an installed package.",
                where=sys.executable,
                next_step="Run it on Kubeflow Pipelines.",
            ) from None
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            raise NotSupported(
                f"The notebook needs the package {requirement.name}, which is not installed here.",
                where=sys.executable,
                why="A run on this machine uses the packages that stand beside Modelflight.",
                next_step=f"Install it there: `pip install '{package}'`.",
            ) from None
        if not requirement.specifier.contains(found, prereleases=True):
            raise NotSupported(
                f"The notebook is locked to {package}, but {found} is installed here.",
                where=sys.executable,
                why="A run on this machine uses the packages that stand beside Modelflight.",
                next_step=f"Install the locked version there: `pip install '{package}'`.",
            )


def _prepare(run: Path, steps: tuple[Step, ...]) -> None:
    for step in steps:
        for folder in ("home", "marshal", "artifacts"):
            (run / "steps" / step.name / folder).mkdir(parents=True)
    plan = [
        {
            "name": step.name,
            "function": step.function,
            "source": step.source,
            "parameters": dict(step.parameters),
            "inputs": {name: [source.step, source.key] for name, source in step.inputs.items()},
            "outputs": dict(step.outputs),
        }
        for step in steps
    ]
    (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def _execute(run: Path, lock: int, progress: Progress) -> None:
    reading, writing = os.pipe()
    program = Path(__file__).with_name("step_process.py")
    with (run / "process.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", str(program), str(run), str(writing), str(lock), str(os.getpid())],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # It holds the lock too: after this process was killed, a repeat waits until it is gone.
            pass_fds=(writing, lock),
            start_new_session=True,
        )
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as events:
            for line in events:
                _report(json.loads(line), run, progress)
        if process.wait() != 0:
            raise StepFailed(
                "The process that runs the steps died.",
                where=str(run),
                why=_ended(process.returncode) + (run / "process.txt").read_text("utf-8", "replace")[-2000:],
                next_step="Try again; when it was killed, give it more memory.",
            )
    finally:
        _end(process)


def _environment() -> dict[str, str]:
    """What the notebook's code gets of ours: nothing of Prefect's and Modelflight's, which can hold a key."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MODELFLIGHT_", "PREFECT_"))
    }
    # Read when matplotlib is imported, which is before the steps begin.
    return inherited | {"MPLBACKEND": "Agg"}


def _ended(code: int) -> str:
    return f"It was killed by {_signal_name(-code)}.\n" if code < 0 else f"It ended with exit code {code}.\n"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and, by its own hand, all that its steps started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode < 0:  # killed, so that it could not clean up
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _report(event: Mapping[str, Any], run: Path, progress: Progress) -> None:
    step = event["step"]
    match event["event"]:
        case "started":
            progress(f"{step} ...")
        case "finished":
            progress(f"{step} done in {event['seconds']:.1f} s")
        case "failed":
            cell = _CELL.findall(event["block"])
            log = f"The step's log: {run}/steps/{step}/log.txt"
            raise StepFailed(
                f"The notebook's step {step.removesuffix('-step')!r} failed: {event['error']}",
                where=cell[-1] if cell else f"step {step}",
                why=event["traceback"],
                next_step=f"Correct the notebook and push again, or correct its data and try again. {log}"
                if event["block"]
                else f"Correct the notebook, or give this machine more memory. {log}",
            )

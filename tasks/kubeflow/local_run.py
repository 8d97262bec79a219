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
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import UUID

from tasks.errors import NotSupported, StepFailed
from tasks.files import write_atomically
from tasks.kubeflow.ir import Step, read_ir
from tasks.kubeflow.outputs import collect_outputs
from tasks.model import Parameter
from tasks.release import TrainedModel

Progress = Callable[[str], None]
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?(==)?([^\s;,]*)")
_CELL = re.compile(r"^\s*# (.+, cell \d+)$", re.MULTILINE)


def run_pipeline(
    ir: Path,
    run_id: UUID,
    runs: Path,
    *,
    identity: str,
    overrides: Mapping[str, Parameter] | None = None,
    progress: Progress = lambda _line: None,
) -> TrainedModel:
    """Runs the pipeline at `ir` in `runs/<run_id>` and returns its model and metrics.

    A run of the same `identity` that has finished there is returned as it stands. A second caller waits for
    the first. `progress` gets a line for each step.

    Raises:
        NotSupported: a construct or package that this machine cannot run; nothing was started.
        StepFailed: names the step, the cell and the exception, with the notebook's traceback.
        ModelMissing, MetricInvalid: see `collect_outputs`.
    """
    steps = read_ir(ir, overrides)
    _check_packages(steps)
    run = runs / str(run_id)
    runs.mkdir(parents=True, exist_ok=True)
    with _exclusive(runs / f"{run_id}.lock"):
        if finished := _finished(run, identity):
            progress("already done, kept from the earlier run")
            return finished
        shutil.rmtree(run, ignore_errors=True)
        _prepare(run, steps)
        _execute(run, progress)
        outputs = collect_outputs(run, steps)
        marker = {"identity": identity, "metrics": outputs.metrics, "files": outputs.files}
        write_atomically(run / "run.json", json.dumps(marker))
        return TrainedModel(run_id, run / "model", outputs.files, outputs.metrics)


def _finished(run: Path, identity: str) -> TrainedModel | None:
    """The outputs of a finished run; the marker is written last, so with it everything else is there."""
    try:
        marker = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if marker["identity"] != identity:
        return None
    return TrainedModel(UUID(run.name), run / "model", tuple(marker["files"]), marker["metrics"])


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_packages(steps: tuple[Step, ...]) -> None:
    for package in sorted({package for step in steps for package in step.packages}):
        requirement = _REQUIREMENT.match(package)
        if requirement is None:
            continue
        name, pinned, wanted = requirement.groups()
        try:
            found = version(name)
        except PackageNotFoundError:
            raise NotSupported(
                f"The notebook needs the package {name}, which is not installed here.",
                where=f"{sys.executable}",
                next_step=f"Install it beside Modelflight: `pip install {package}`.",
            ) from None
        if pinned and found != wanted:
            raise NotSupported(
                f"The notebook is locked to {package}, but {found} is installed here.",
                where=f"{sys.executable}",
                next_step=f"Install the locked version: `pip install {package}`.",
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


def _execute(run: Path, progress: Progress) -> None:
    reading, writing = os.pipe()
    with (run / "process.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("step_process.py")), str(run), str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as events:
            for line in events:
                _report(json.loads(line), run, progress)
        if process.wait() != 0:
            raise StepFailed(
                "The pipeline's process died.",
                where=str(run),
                why=(run / "process.txt").read_text(encoding="utf-8", errors="replace")[-2000:],
            )
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _report(event: Mapping[str, Any], run: Path, progress: Progress) -> None:
    step = event["step"]
    match event["event"]:
        case "started":
            progress(f"{step} ...")
        case "finished":
            progress(f"{step} done in {event['seconds']:.1f} s")
        case "failed":
            cell = _CELL.findall(event["block"])
            raise StepFailed(
                f"The notebook's step {step.removesuffix('-step')!r} failed: {event['error']}",
                where=cell[-1] if cell else f"step {step}",
                why=event["traceback"],
                next_step=f"Correct the notebook and push again. The step's log: {run}/steps/{step}/log.txt",
            )

"""Program that runs the steps of a pipeline one after the other. Started by `local_run.py`, never imported.

Kale and KFP are imported once; then each step runs in a fork of this process, so that no step sees another's
variables, working folder or environment, and none pays for the imports again. What a container would give a
step of its own (HOME, Kale's data folder, Kale's metrics file) lies in the step's folder of the run.

Usage: step_process.py RUN_FOLDER EVENTS_FD. The steps are read from RUN_FOLDER/plan.json; events go to the
file descriptor, a JSON object a line.
"""

import contextlib
import ctypes
import importlib
import json
import os
import re
import signal
import sys
import time
import traceback
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Slow to import and safe to fork after importing: they hold no device and no thread of their own.
_PRELOADED = ("numpy", "scipy", "pandas", "sklearn", "joblib", "matplotlib")
_IMPORT = re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE)
_PR_SET_PDEATHSIG = 1
_CELL_FAILED = 3


def die_with_parent() -> None:
    """No step goes on when the release that wanted it is gone (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class CellFailed(Exception):
    """A code block of the step raised; `report` is what the parent process tells."""

    def __init__(self, report: dict[str, str]) -> None:
        super().__init__(report["error"])
        self.report = report


def run_code(blocks: tuple[str, ...]) -> str:
    """Stands in for `kale.common.jputils.run_code`: the blocks run here instead of in a Jupyter kernel.

    IPython runs them, so magics, shell escapes, top-level await and tracebacks are those of a notebook.
    Returns the HTML report that Kale's components keep as an artifact.
    """
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance(colors="nocolor")
    shell.separate_in = ""
    # The traceback goes into the report once instead of to standard output too.
    shell._showtraceback = lambda *_: None
    for block in blocks:
        result = shell.run_cell(block, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            text = "\n".join(
                shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
            )
            raise CellFailed({"block": block, "error": f"{type(error).__name__}: {error}", "traceback": text})
    return "<p>The step's output is in its log.</p>"


def prepare_kale(folder: Path) -> None:
    """Points Kale at `folder` and replaces its kernel runner, before a component imports either."""
    jputils = types.ModuleType("kale.common.jputils")
    jputils.run_code = run_code  # type: ignore[attr-defined]

    class KaleGracefulExit(Exception):
        """Raised by Kale in a notebook when data cannot be passed on."""

    jputils.KaleGracefulExit = KaleGracefulExit  # type: ignore[attr-defined]
    sys.modules["kale.common.jputils"] = jputils
    from kale import marshal
    from kale.common import kfputils

    data = folder / "marshal"
    marshal.set_data_dir(str(data))
    # Components name /tmp/marshal, which all runs on this machine would share.
    marshal.set_data_dir = lambda _path: None
    kfputils.KFP_UI_METRICS_FILE_PATH = str(folder / "metrics.json")


def executor_input(step: dict[str, Any], steps: Path) -> dict[str, Any]:
    """What KFP's launcher hands to a component (ExecutorInput of pipeline_spec.proto)."""
    folder = steps / step["name"]

    def listed(uri: Path, schema: str, metadata: dict[str, Any]) -> dict[str, Any]:
        artifact = {"name": uri.name, "uri": str(uri), "type": {"schemaTitle": schema}, "metadata": metadata}
        return {"artifacts": [artifact]}

    inputs = {}
    for name, (producer, key) in step["inputs"].items():
        written = json.loads((steps / producer / "executor_output.json").read_text(encoding="utf-8"))
        metadata = dict(written["artifacts"][key]["artifacts"][0]["metadata"])
        # Kale copies the artifact to where its producer had the variable; here that is this step's folder.
        metadata["marshal_path"] = str(folder / "marshal" / Path(metadata["marshal_path"]).name)
        inputs[name] = listed(steps / producer / "artifacts" / key, "system.Artifact", metadata)
    outputs = {
        name: listed(folder / "artifacts" / name, schema, {}) for name, schema in step["outputs"].items()
    }
    return {
        "inputs": {"parameterValues": step["parameters"], "artifacts": inputs},
        "outputs": {"artifacts": outputs, "outputFile": str(folder / "executor_output.json")},
    }


def execute(step: dict[str, Any], folder: Path) -> None:
    """Runs the component of `step` in this process, as KFP's executor does in a container."""
    from kfp.dsl.executor import Executor

    prepare_kale(folder)
    module = types.ModuleType("component")
    source = folder / "component.py"
    source.write_text(step["source"], encoding="utf-8")
    sys.modules["component"] = module
    exec(compile(step["source"], str(source), "exec"), module.__dict__)  # noqa: S102 - running it is the purpose
    Executor(executor_input(step, folder.parent), getattr(module, step["function"])).execute()


def preload(sources: Iterable[str]) -> None:
    """Imports what the steps import of `_PRELOADED`; whatever fails here fails again in its cell."""
    modules = {module for source in sources for module in _IMPORT.findall(source)}
    for module in sorted(modules):
        if module.split(".")[0] in _PRELOADED:
            with contextlib.suppress(Exception):
                importlib.import_module(module)


def run_step(step: dict[str, Any], run: Path) -> dict[str, str] | None:
    """Runs `step` in a fork; returns None when it succeeded, else what to tell about the failure."""
    folder = run / "steps" / step["name"]
    failure = folder / "failure.json"
    child = os.fork()
    if child == 0:
        die_with_parent()
        code = 1
        try:
            with (folder / "log.txt").open("ab", buffering=0) as log, Path(os.devnull).open("rb") as nothing:
                os.dup2(nothing.fileno(), 0)
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            os.environ.update(HOME=str(folder / "home"), MPLBACKEND="Agg")
            os.chdir(folder / "home")
            execute(step, folder)
            code = 0
        except CellFailed as error:
            sys.stderr.write(error.report["traceback"] + "\n")
            failure.write_text(json.dumps(error.report), encoding="utf-8")
            code = _CELL_FAILED
        except BaseException:  # noqa: BLE001 - the fork must end below, whatever it was
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    if code == _CELL_FAILED:
        return dict(json.loads(failure.read_text(encoding="utf-8")))
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    return {"block": "", "error": f"The step was {ended}.", "traceback": log[-4000:]}


def main(run: Path, events: int) -> int:
    """Runs all steps of the plan; stops at the first failure."""
    die_with_parent()
    os.set_inheritable(events, False)
    # Imported for the forks below, each of which would else pay for it.
    import kale.marshal  # noqa: F401
    import kfp.dsl.executor  # noqa: F401

    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    preload(step["source"] for step in plan)
    for step in plan:
        started = time.monotonic()
        os.write(events, json.dumps({"event": "started", "step": step["name"]}).encode() + b"\n")
        failure = run_step(step, run)
        seconds = time.monotonic() - started
        event = {"event": "failed", **failure} if failure else {"event": "finished"}
        os.write(events, json.dumps({**event, "step": step["name"], "seconds": seconds}).encode() + b"\n")
        if failure:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))

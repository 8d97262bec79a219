"""Program that runs the steps of a pipeline one after the other. Started by `local_run.py`, never imported.

Kale and KFP are imported once; then each step runs in a fork of this process, so that no step sees another's
variables, working folder or environment, and none pays for the imports again. What a container would give a
step of its own (HOME, Kale's data folder, Kale's metrics file) lies in the step's folder of the run.

Usage: step_process.py RUN_FOLDER EVENTS_FD LOCK_FD PARENT_PID. The steps are read from RUN_FOLDER/plan.json;
events go to the first file descriptor, a JSON object a line; the second is held open as long as steps run.
Whatever a step started ends with the step; everything ends
with the parent process.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

# Slow to import and safe to fork after importing: they hold no device and no thread of their own.
_PRELOADED = ("numpy", "scipy", "pandas", "sklearn", "joblib", "matplotlib")
_IMPORT = re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE)
# Folders of the user that programs find by other ways than HOME.
_FOLDERS = (
    "IPYTHONDIR",
    "MPLCONFIGDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
)
_CELL = re.compile(r"# .+, cell (\d+)\s*\Z")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CELL_FAILED = 3
_LONGEST_ERROR = 1_000  # characters
_LONGEST_TRACEBACK = 20_000
_LOG_TAIL = 4_000  # bytes


def control(option: int, value: int) -> None:
    """Sets `option` of this process (prctl(2)), where the system has it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_with(parent: int, by: signal.Signals) -> None:
    """Lets the kernel send `by` when `parent` is gone; no step goes on when nobody waits for it."""
    control(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:  # it was gone before
        os.kill(os.getpid(), by)


def children() -> Iterator[int]:
    """The processes whose parent is this one (proc_pid_stat(5))."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            if int(state[1]) == os.getpid():
                yield int(folder.name)


def end_children() -> None:
    """Kills what steps left running. Orphans of those become this process's children, so none escapes."""
    while True:
        for child in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def end_all(*_: object) -> None:
    """Handles SIGTERM, which comes when the run is given up or the parent is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_children()
    os._exit(128 + signal.SIGTERM)


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
    # There is no window: figures are drawn into files.
    shell.enable_gui = lambda *_, **__: None
    # `exit()` ends a notebook's kernel; here it ends the step.
    shell.ask_exit = sys.exit
    for block in blocks:
        if cell := _CELL.search(block):
            shell.execution_count = int(cell[1])  # what tracebacks call it: `Cell In[3]`
        result = shell.run_cell(block, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            raise CellFailed({"block": block, "error": told(error), "traceback": shown(shell, error)})
    return "<p>The step's output is in its log.</p>"


def told(error: BaseException) -> str:
    """The exception's type and message, on as few lines as it has."""
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:  # noqa: BLE001 - the message is the notebook's code
        message = "its message cannot be shown"
    return f"{type(error).__name__}: {message}"[:_LONGEST_ERROR]


def shown(shell: Any, error: BaseException) -> str:
    """The traceback of `error` as a notebook shows it, from the cell's own frame on."""
    if isinstance(error, SyntaxError):
        lines = shell.SyntaxTB.structured_traceback(type(error), error, [])
    else:
        lines = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
    text = "\n".join(lines)
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


def prepare_kale(folder: Path) -> None:
    """Points Kale at `folder` and replaces its kernel runner, before a component imports either."""
    jputils = types.ModuleType("kale.common.jputils")
    jputils.run_code = run_code  # type: ignore[attr-defined]

    class KaleGracefulExit(Exception):
        """Raised by Kale when a variable cannot be saved or loaded."""

    jputils.KaleGracefulExit = KaleGracefulExit  # type: ignore[attr-defined]
    sys.modules["kale.common.jputils"] = jputils
    from kale import marshal
    from kale.common import kfputils

    data = folder / "marshal"
    marshal.set_data_dir(str(data))
    # Components name /tmp/marshal, which all runs on this machine would share.
    marshal.set_data_dir = lambda _path: None
    marshal.save = explained(marshal.save, jputils.KaleGracefulExit)
    marshal.load = explained(marshal.load, jputils.KaleGracefulExit)
    kfputils.KFP_UI_METRICS_FILE_PATH = str(folder / "metrics.json")
    kfputils.generate_mlpipeline_metrics = write_metrics(folder / "metrics.json")


def explained(function: Callable[..., Any], refusal: type[Exception]) -> Callable[..., Any]:
    """Kale's `function` of a variable, saying which one it failed for; Kale says that in its log only."""

    def explain(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except refusal as error:
            name = str(arguments[-1]).removesuffix("_artifact")
            cause = error.__context__
            raise TypeError(f"The variable {name!r} cannot be handed from step to step: {cause}") from cause

    return explain


def write_metrics(path: Path) -> Callable[[dict[str, Any]], None]:
    """Stands in for Kale's function, which logs what JSON cannot hold and leaves half a file behind."""

    def write(metrics: dict[str, Any]) -> None:
        for name, value in metrics.items():
            if not isinstance(value, int | float | str):
                raise TypeError(
                    f"The metric {name.replace('-', '_')!r} is of type {type(value).__name__}, which "
                    "Kubeflow Pipelines cannot keep; make it a number with float(...)"
                )
        path.write_text(json.dumps(metrics), encoding="utf-8")

    return write


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


def import_as_in_a_container() -> None:
    """Lets Kale and KFP be imported without compilers and clients, which take seconds and steps never use.

    KFP has a switch for it, which its containers set too; Kale imports everything in its `__init__`, so an
    empty module stands in for that.
    """
    os.environ["_KFP_RUNTIME"] = "true"
    kale = types.ModuleType("kale")
    spec = importlib.util.find_spec("kale")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'kale'")
    kale.__path__ = list(spec.submodule_search_locations)
    sys.modules["kale"] = kale


def preload(sources: Iterable[str]) -> None:
    """Imports what the steps import of `_PRELOADED`; whatever fails here fails again in its cell."""
    modules = {module for source in sources for module in _IMPORT.findall(source)}
    for module in sorted(modules):
        if module.split(".")[0] in _PRELOADED:
            with contextlib.suppress(Exception):
                importlib.import_module(module)


def run_step(step: dict[str, Any], run: Path, inherited: Iterable[int] = ()) -> dict[str, str] | None:
    """Runs `step` in a fork; returns None when it succeeded, else what to tell about the failure.

    `inherited` are the file descriptors that are this process's alone.
    """
    folder = run / "steps" / step["name"]
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for descriptor in inherited:
                os.close(descriptor)
            enter(folder, parent)
            execute(step, folder)
            code = 0
        except CellFailed as error:
            (folder / "failure.json").write_text(json.dumps(error.report), encoding="utf-8")
            code = _CELL_FAILED
            sys.stderr.write(error.report["traceback"] + "\n")
        except BaseException:  # noqa: BLE001 - the fork must end below, whatever it was
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):  # a cell may have closed them
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    end_children()
    code = os.waitstatus_to_exitcode(status)
    if code == _CELL_FAILED and (folder / "failure.json").exists():
        return dict(json.loads((folder / "failure.json").read_text(encoding="utf-8")))
    if code == 0 and (folder / "executor_output.json").exists():
        return None
    ended = f"was killed by {signal_name(-code)}" if code < 0 else f"ended early, with exit code {code}"
    return {"block": "", "error": f"The step {ended}.", "traceback": tail(folder / "log.txt")}


def enter(folder: Path, parent: int) -> None:
    """Makes a fresh fork the process of one step: its streams, signals, home and working folder."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent, signal.SIGKILL)
    with (folder / "log.txt").open("ab", buffering=0) as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    for name in _FOLDERS:
        os.environ.pop(name, None)
    os.environ.update(HOME=str(folder / "home"), MPLBACKEND="Agg")
    os.chdir(folder / "home")


def signal_name(number: int) -> str:
    """SIGKILL for 9; real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def tail(log: Path) -> str:
    """The last lines of a log that can be of any size."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL))
        return file.read().decode("utf-8", "replace")


def main(run: Path, events: int, lock: int, parent: int) -> int:
    """Runs all steps of the plan; stops at the first failure."""
    signal.signal(signal.SIGTERM, end_all)
    control(_PR_SET_CHILD_SUBREAPER, 1)
    end_with(parent, signal.SIGTERM)
    for descriptor in (events, lock):
        os.set_inheritable(descriptor, False)
    import_as_in_a_container()
    # Imported for the forks below, each of which would else pay for it.
    import IPython.core.interactiveshell  # noqa: F401
    import kale.marshal  # noqa: F401
    import kfp.dsl.executor  # noqa: F401

    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    preload(step["source"] for step in plan)
    for step in plan:
        started = time.monotonic()
        os.write(events, json.dumps({"event": "started", "step": step["name"]}).encode() + b"\n")
        failure = run_step(step, run, (events, lock))
        seconds = time.monotonic() - started
        event = {"event": "failed", **failure} if failure else {"event": "finished"}
        os.write(events, json.dumps({**event, "step": step["name"], "seconds": seconds}).encode() + b"\n")
        if failure:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))

"""Evaluating models by a function of the notebook, on this machine and as its steps run."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from tasks.kubeflow.ir import Step
from tasks.kubeflow.local_run import Progress, executed


def evaluate(
    cells: Sequence[str],
    functions: Collection[str],
    models: Mapping[str, Callable[[Path], object]],
    run: Path,
    progress: Progress = lambda _line: None,
) -> dict[tuple[str, str], tuple[float, ...]]:
    """The scores that each function gives each model, by the names of both.

    Args:
        cells: code that defines the functions.
        functions: names of functions of a folder with a model's files, which return a number for each
            example.
        models: for each model, what writes its files into an empty folder.
        run: the folder for all of it, which is made anew.
        progress: gets a line when an evaluation begins and when it ends.

    Raises:
        StepFailed: a function raised, or returned something else; with the notebook's traceback.
    """
    folders = {model: run / "models" / model for model in models}
    results = {
        (function, model): run / f"{function}-{model}.json" for function in functions for model in models
    }

    def fill() -> None:
        for model, write in models.items():
            folders[model].mkdir(parents=True)
            write(folders[model])

    steps = tuple(
        _step(result.stem, (*cells, _call(function, folders[model], result)))
        for (function, model), result in results.items()
    )
    with executed(steps, run, fill, progress):
        shutil.rmtree(run / "models")  # they can be large, and are kept elsewhere
        return {pair: tuple(json.loads(result.read_bytes())) for pair, result in results.items()}


def _call(function: str, model: Path, result: Path) -> str:
    return (
        "import json, pathlib\n"
        f"scores = {function}(pathlib.Path({str(model)!r}))\n"
        f"pathlib.Path({str(result)!r}).write_text(json.dumps([float(score) for score in scores]))"
    )


def _step(name: str, blocks: Sequence[str]) -> Step:
    """A component as Kale makes them: its blocks run in one namespace, as in a notebook."""
    source = (
        f"def evaluate():\n    from kale.common.jputils import run_code\n    run_code({tuple(blocks)!r})\n"
    )
    return Step(name, "evaluate", source, packages=(), parameters={}, inputs={}, outputs={})

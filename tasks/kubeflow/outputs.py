"""What a finished run on this machine left: model files and metrics, gathered from its artifacts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import ModelMissing
from tasks.kubeflow.ir import Step


@dataclass(frozen=True)
class Outputs:
    """Files of the model, relative to the run's `model` folder, and metrics by name."""

    files: tuple[str, ...]
    metrics: dict[str, float]


def collect_outputs(run: Path, steps: tuple[Step, ...]) -> Outputs:
    """Links the model of a finished run into `run/model` and reads its metrics.

    Kale gives the type system.Model to variables whose name contains `model`. The one called `model` is it;
    otherwise the only one there is. A step that hands a variable on again replaces what was before.

    Raises:
        ModelMissing: no step left a model, or there are several and none is called `model`.
    """
    metrics: dict[str, float] = {}
    models: dict[str, tuple[Path, str]] = {}
    for step in steps:
        for name, artifact in _written(run, step).items():
            schema = step.outputs[name]
            if schema == "system.Metrics":
                # Kale writes the variable `test_loss` as the metric `test-loss`.
                metrics |= {key.replace("-", "_"): value for key, value in artifact["metadata"].items()}
            elif schema == "system.Model":
                variable = name.removesuffix("_output_artifact")
                suffix = Path(artifact["metadata"].get("marshal_path", "")).suffix
                models[variable] = (Path(artifact["uri"]), f"{variable}{suffix}")
    path, name = _the_model(models)
    (run / "model").mkdir()
    (run / "model" / name).hardlink_to(path)
    return Outputs((name,), metrics)


def _written(run: Path, step: Step) -> Mapping[str, Any]:
    text = (run / "steps" / step.name / "executor_output.json").read_text(encoding="utf-8")
    artifacts = json.loads(text).get("artifacts", {})
    return {name: listed["artifacts"][0] for name, listed in artifacts.items() if name in step.outputs}


def _the_model(models: Mapping[str, tuple[Path, str]]) -> tuple[Path, str]:
    if len(models) == 1:
        return next(iter(models.values()))
    if "model" in models:
        return models["model"]
    raise ModelMissing(
        "The run left no model." if not models else "The run left more than one candidate for the model.",
        where=f"variables {', '.join(sorted(models))}" if models else "the run's artifacts",
        why="Kale takes every variable with `model` in its name for one."
        if models
        else "No step ends with a model variable.",
        next_step="End the training step's cell with a line that holds the variable `model` alone.",
    )

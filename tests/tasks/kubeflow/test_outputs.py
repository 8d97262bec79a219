"""Which of the variables that a run left is the model, and what its metrics are called."""

import json
import math
from pathlib import Path

import pytest

from tasks.errors import ModelMissing
from tasks.kubeflow.ir import Step
from tasks.kubeflow.outputs import collect_outputs


def left(run: Path, name: str, *variables: str, metrics: dict[str, object] | None = None) -> Step:
    """A step as a finished run has it: its variables hold the step's name."""
    folder = run / "steps" / name / "artifacts"
    folder.mkdir(parents=True)
    outputs, artifacts = {}, {}
    for variable in variables:
        key = f"{variable}_output_artifact"
        (folder / key).write_text(name)
        outputs[key] = "system.Model" if "model" in variable else "system.Dataset"
        metadata = {"marshal_path": f"/marshal/{variable}_artifact.joblib"}
        artifacts[key] = {"artifacts": [{"uri": str(folder / key), "metadata": metadata}]}
    if metrics is not None:
        outputs["kale_metrics_artifact"] = "system.Metrics"
        artifacts["kale_metrics_artifact"] = {"artifacts": [{"uri": "m", "metadata": metrics}]}
    (folder.parent / "executor_output.json").write_text(json.dumps({"artifacts": artifacts}))
    return Step(name, "f", "", (), {}, {}, outputs)


@pytest.mark.parametrize(
    ("steps", "model", "writer"),
    [
        ([("train", "final_model")], "final_model", "train"),
        ([("train", "model", "scaler")], "model", "train"),
        ([("train", "model", "model_name")], "model", "train"),
        # A later step that hands on something with `model` in its name has made no other model.
        ([("train", "model"), ("evaluate", "model_name")], "model", "train"),
        ([("load", "base_model"), ("train", "model"), ("report", "model_card")], "model", "train"),
        ([("train", "model"), ("tune", "model")], "model", "tune"),
        ([("train", "final_model"), ("tune", "final_model"), ("report", "table")], "final_model", "tune"),
    ],
)
def test_the_model_is_the_variable_of_that_name_or_the_only_candidate(steps, model, writer, tmp_path):
    outputs = collect_outputs(tmp_path, tuple(left(tmp_path, *step) for step in steps))
    assert outputs.files == (f"{model}.joblib",)
    assert (tmp_path / "model" / f"{model}.joblib").read_text() == writer


@pytest.mark.parametrize(
    ("steps", "what", "where"),
    [
        ([("train", "weights")], "left no model", "artifacts"),
        ([("train",)], "left no model", "artifacts"),
        ([("train", "model_a", "model_b")], "more than one candidate", "model_a, model_b"),
        (
            [("train", "trained_model"), ("report", "model_name")],
            "more than one candidate",
            "model_name, trained_model",
        ),
    ],
)
def test_no_model_or_an_ambiguous_one_is_refused_with_the_candidates(steps, what, where, tmp_path):
    with pytest.raises(ModelMissing, match=what) as caught:
        collect_outputs(tmp_path, tuple(left(tmp_path, *step) for step in steps))
    assert where in caught.value.where
    assert caught.value.why
    assert "`model`" in caught.value.next_step
    assert not (tmp_path / "model").exists()


def test_metrics_are_named_like_the_variables_and_kept_as_they_are(tmp_path):
    steps = (
        left(tmp_path, "train", "model", metrics={"train-loss": 0.5, "shared": 1}),
        left(tmp_path, "evaluate", metrics={"shared": 2, "odd": math.nan}),
    )
    metrics = collect_outputs(tmp_path, steps).metrics
    assert math.isnan(metrics.pop("odd"))
    assert metrics == {"train_loss": 0.5, "shared": 2}

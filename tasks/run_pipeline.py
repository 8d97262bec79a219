"""Runs the compiled pipeline and reads the model and the metrics that it leaves."""

from pathlib import Path

from tasks.kubeflow.local_run import run_pipeline as run_here
from tasks.release import Pipeline, ReleasePlan, TrainedModel
from tasks.step import report, step


def _describe(trained: TrainedModel) -> str:
    return f"{', '.join(trained.files)}; {', '.join(trained.shown_metrics()) or 'no metrics'}"


@step("run pipeline", _describe, timeout_seconds=24 * 3600)
def run_pipeline(plan: ReleasePlan, pipeline: Pipeline, runs: Path) -> TrainedModel:
    """The trained model; the run's id comes from the release, so a repeated release finds its run."""
    return run_here(
        pipeline.path,
        plan.release_id.run_id,
        runs,
        identity=pipeline.identity,
        progress=report,
    )

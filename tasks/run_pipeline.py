"""Runs the compiled pipeline and keeps the model and the metrics that it leaves."""

from pathlib import Path

from tasks.artifacts.keep import Run, find, keep
from tasks.kubeflow.local_run import run_pipeline as run_here
from tasks.metrics import shown_metrics
from tasks.notebook.checkout import on_this_machine
from tasks.notebook.compile import compile_notebook
from tasks.release import Pipeline, ReleasePlan, TrainedModel
from tasks.step import report, step


def _describe(trained: TrainedModel) -> str:
    files = ", ".join(file.path for file in trained.artifact.files)
    return f"{files}; {', '.join(shown_metrics(trained.metrics)) or 'no metrics'}"


@step("run pipeline", _describe, timeout_seconds=24 * 3600)
def run_pipeline(plan: ReleasePlan, pipeline: Pipeline, runs: Path, artifacts: str) -> TrainedModel:
    """The trained model, kept in the store `artifacts`, or in its run's folder where that is empty.

    The run's id comes from the release, so a repeated release finds its run, also on another machine when the
    store has it.
    """
    pipeline = _on_this_machine(plan, pipeline)
    run = Run(plan.model.name, plan.release_id.run_id, pipeline.identity)
    if found := find(artifacts, run):
        report("already done, kept from the earlier run")
        return found
    finished = run_here(pipeline.path, run.run_id, runs, identity=run.pipeline, progress=report)
    return keep(artifacts, run, finished.directory, finished.metrics)


def _on_this_machine(plan: ReleasePlan, pipeline: Pipeline) -> Pipeline:
    """The same, its file here: it is compiled again where a release goes on on another machine."""
    if pipeline.path.exists():
        return pipeline
    return compile_notebook(on_this_machine(plan.source).directory, plan.model, pipeline.path.parent)

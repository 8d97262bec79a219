"""Compiles the notebook into a KFP pipeline with Kale."""

from pathlib import Path

from tasks.notebook.checkout import on_this_machine
from tasks.notebook.compile import compile_notebook as compile_with_kale
from tasks.release import Pipeline, ReleasePlan
from tasks.step import report, step


@step(
    "compile notebook",
    lambda pipeline: f"{len(pipeline.steps)} steps ({', '.join(pipeline.steps)}), {pipeline.identity[:12]}",
    timeout_seconds=900,
)
def compile_notebook(plan: ReleasePlan, pipelines: Path) -> Pipeline:
    """The compiled pipeline, kept below `pipelines` under its identity."""
    pipeline = compile_with_kale(on_this_machine(plan.source).directory, plan.model, pipelines)
    for warning in pipeline.warnings:
        report(f"{plan.model.notebook}, {warning}")
    return pipeline

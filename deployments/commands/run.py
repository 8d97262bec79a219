"""The verb `run`."""

from pathlib import Path

import click

from deployments import console
from deployments.verb import parameter_option, verb
from flows.settings import Home


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@parameter_option
@verb
def run(pipeline: Path, parameters: tuple[str, ...], output: str) -> None:
    """Runs a compiled PIPELINE on this machine."""
    import uuid

    from tasks.kubeflow.ir import pipeline_parameters
    from tasks.kubeflow.local_run import run_pipeline
    from tasks.metrics import shown_metrics
    from tasks.parameters import parse_assignments

    overrides = parse_assignments(parameters, pipeline_parameters(pipeline), "--parameter")
    trained = run_pipeline(
        pipeline,
        uuid.uuid4(),
        Home().runs,
        identity=str(pipeline),
        overrides=overrides,
        progress=console.show_progress,
    )
    lines = [f"run      {trained.run_id}", f"model    {trained.directory}: {', '.join(trained.files)}"]
    lines += [f"metric   {metric}" for metric in shown_metrics(trained.metrics)]
    console.emit(console.plain(trained), "\n".join(lines), output)

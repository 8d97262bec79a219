"""The verb `compile`."""

from pathlib import Path

import click

from deployments import console
from deployments.verb import directory_argument, model_option, parameter_option, verb
from flows.settings import Home


@click.command(name="compile")
@directory_argument
@model_option
@parameter_option
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="File to write the pipeline to.")
@verb
def compile_(
    directory: Path, model: str | None, parameters: tuple[str, ...], to: Path | None, output: str
) -> None:
    """Compiles a notebook into a pipeline.

    The notebook is that of a model in DIRECTORY, the compiler is Kale, the pipeline is KFP IR YAML.
    """
    from tasks.config.load import load_project
    from tasks.files import write_atomically
    from tasks.notebook.compile import compile_notebook
    from tasks.notebook.fit import check_model
    from tasks.parameters import parse_assignments

    chosen = load_project(directory).model(model)
    declared = check_model(chosen, directory).parameters
    given = {**chosen.parameters, **parse_assignments(parameters, declared, "--parameter")}
    pipeline = compile_notebook(directory, chosen.model_copy(update={"parameters": given}), Home().pipelines)
    for warning in pipeline.warnings:
        console.warn(f"{chosen.notebook}, {warning}")
    path = to or pipeline.path
    if to:
        write_atomically(to, pipeline.path.read_text(encoding="utf-8"))
    document = {
        "pipeline": str(path),
        "identity": pipeline.identity,
        "steps": list(pipeline.steps),
        "warnings": list(pipeline.warnings),
    }
    console.emit(document, f"{path}\n  {len(pipeline.steps)} steps: {' > '.join(pipeline.steps)}", output)

"""The verb `check`."""

from pathlib import Path

import click

from deployments import console
from deployments.verb import directory_argument, verb


@click.command()
@directory_argument
@click.option("--schema", is_flag=True, help="Print the JSON Schema of modelflight.yaml, for editors.")
@verb
def check(directory: Path, schema: bool, output: str) -> None:
    """Checks modelflight.yaml and its notebooks.

    Both are read in DIRECTORY; nothing is run.
    """
    if schema:
        from tasks.model import json_schema

        return console.emit(json_schema(), "", "json")
    from tasks.config.load import load_project
    from tasks.notebook.fit import check_model
    from tasks.notebook.static_check import findings

    models = []
    for model in load_project(directory).models:
        notebook = check_model(model, directory)
        warnings = list(map(str, findings(notebook)))
        for warning in warnings:
            console.warn(f"{model.notebook}, {warning}")
        models.append(
            {
                "name": model.name,
                "notebook": model.notebook,
                "steps": list(notebook.steps),
                "warnings": warnings,
            }
        )
    lines = [f"  {model['name']}: {model['notebook']}: {' > '.join(model['steps'])}" for model in models]
    return console.emit({"models": models}, "\n".join(["modelflight.yaml is valid.", *lines]), output)

"""The verb `init`."""

from pathlib import Path

import click

from deployments import console
from deployments.verb import directory_argument, verb
from tasks.errors import InvalidInput


@click.command()
@directory_argument
@verb
def init(directory: Path, output: str) -> None:
    """Writes a first modelflight.yaml.

    It has a model for each tagged notebook in DIRECTORY. A file that is there is never overwritten.
    """
    from tasks.config.load import parse_project
    from tasks.notebook.propose import propose

    path = directory / "modelflight.yaml"
    text = propose(directory)
    models = [model.name for model in parse_project(text, str(path)).models]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidInput(
            "There is a modelflight.yaml already.",
            where=str(path),
            next_step="Check it with `modelflight check`, or move it away first.",
        ) from None
    said = f"Wrote {path} with {', '.join(models)}. Set `image` and `fleet`, then run `modelflight check`."
    console.emit({"path": str(path), "models": models}, said, output)

"""The verb `demo`."""

from pathlib import Path

import click

from deployments.verb import verb


@click.command()
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Folder to leave all of it in."
)
@verb
def demo(keep: Path | None, output: str) -> None:
    """Releases an example twice, with a report."""
    from deployments.demo import run_demo

    run_demo(keep, output)

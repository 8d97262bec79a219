"""The verb `up`."""

import os
from pathlib import Path

import click

from deployments.verb import verb

_PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all.")
@click.option("--port", type=_PORT, default=4200, show_default=True, help="Port of Prefect's pages and API.")
@click.option("--receiver-port", type=_PORT, default=4280, show_default=True, help="Port for webhooks.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of all data; MODELFLIGHT_HOME by default.",
)
@verb
def up(host: str, port: int, receiver_port: int, home: Path | None, output: str) -> None:
    """Runs everything on this machine, until Ctrl-C.

    That is Prefect's server, a worker, and the webhook receiver. The database is SQLite below the home, or
    what PREFECT_SERVER_DATABASE_CONNECTION_URL names. Where PREFECT_API_URL names a Prefect API that answers,
    that one is used. What is registered in Prefect's blocks is deployed, and again when it changed.
    """
    from deployments.up.everything import run_everything

    if home:
        os.environ["MODELFLIGHT_HOME"] = str(home.absolute())
    run_everything(host, port, receiver_port, output)

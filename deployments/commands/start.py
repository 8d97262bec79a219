"""The verb `start`."""

from datetime import timedelta

import click

from deployments import console
from deployments.verb import verb


def duration(_context: click.Context, _option: click.Parameter, value: str) -> float:
    """Seconds, of 2h, 30m or 90s."""
    from pydantic import TypeAdapter, ValidationError

    from tasks.model import Duration

    try:
        found: timedelta = TypeAdapter(Duration).validate_python(value)
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return found.total_seconds()


@click.command()
@click.argument("deployment")
@click.option("--commit", metavar="SHA", help="Release this commit; else what the deployment says.")
@click.option(
    "--attempt", type=click.IntRange(min=1), default=1, show_default=True, help="Try of this commit."
)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for the verdict.")
@click.option(
    "--timeout",
    callback=duration,
    default="2h",
    show_default=True,
    help="How long to wait for it; the run goes on afterwards.",
)
@verb
def start(
    deployment: str, commit: str | None, attempt: int, follow: bool, timeout: float, output: str
) -> int:
    """Starts a release on a Prefect API and follows it.

    DEPLOYMENT is NAME.MODEL. For the same commit and attempt there is one run, however often it is started:
    the same command finds it again. PREFECT_API_URL names the API, PREFECT_API_KEY or
    PREFECT_API_AUTH_STRING the credential.
    """
    from deployments.start.api import PrefectApi
    from deployments.start.follow import ending, start_run, wait_for

    with PrefectApi.from_environment() as api:
        started = start_run(api, deployment, commit, attempt, console.show_progress)
        ended = wait_for(api, started, timeout, console.show_progress) if follow else ending(api, started)
    if ended.error is not None and output == "text":
        console.emit_error(ended.error, output)
    else:
        console.emit(ended.document(), ended.text(), output)
    return ended.exit_code

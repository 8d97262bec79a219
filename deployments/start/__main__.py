"""A release in a job of a CI system: `python -m deployments.start`, with the job's inputs as variables."""

import base64
import os
import signal
from pathlib import Path
from typing import Any

import click

from deployments import console
from deployments.commands.start import duration
from deployments.start.api import PrefectApi
from deployments.start.ending import Ending
from deployments.start.follow import start_run, wait_for
from deployments.start.systems import System, this_system
from deployments.verb import verb
from tasks.errors import InvalidInput, ModelflightError
from tasks.pages import is_run_page

_CREDENTIALS = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING")


@click.command(context_settings={"auto_envvar_prefix": "MODELFLIGHT"})
@click.option("--mode", type=click.Choice(["prefect", "job"]))
@click.option("--deployment", default="")
@click.option("--commit", default="")
@click.option("--attempt", type=click.IntRange(min=1), default=1)
@click.option("--timeout", callback=duration, default="2h")
@click.option("--cancel-on-abort", type=bool, default=False)
@click.option("--repository", default=".")
@click.option("--model")
@click.option("--approve")
@click.option("--token", default="")
@click.option("--fleet-token", default="")
@click.option("--role-to-assume", default="")
@click.option("--aws-region", default="")
@click.option("--eks-cluster", default="")
@verb
def main(mode: str | None, repository: str, output: str, **inputs: Any) -> int:
    """Starts a release at PREFECT_API_URL (mode prefect) or runs it here (mode job), and tells its end."""
    for name in ("PREFECT_API_URL", *_CREDENTIALS):
        if not os.environ.get(name):
            os.environ.pop(name, None)  # Prefect takes an empty variable for a setting
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # GitHub sends both, seconds apart
    system = this_system()
    system.hide(_secrets(inputs))
    chosen = mode or ("prefect" if "PREFECT_API_URL" in os.environ else "job")
    with system.quoting():
        try:
            ending = _at_prefect(system, inputs) if chosen == "prefect" else _here(system, repository, inputs)
        except ModelflightError as error:
            ending = Ending(
                "failed", page=error.where if is_run_page(error.where) else system.page, error=error
            )
        if ending.error is not None:
            console.emit_error(ending.error, "text")
        console.emit(ending.document(), ending.text(), output)
    system.publish(ending, repository)
    return ending.exit_code


def _secrets(inputs: dict[str, Any]) -> list[str]:
    """Whatever the inputs hold of credentials, also as they go over the wire."""
    values = [os.environ.get(name, "") for name in _CREDENTIALS]
    auth = values[1]
    values += [auth.partition(":")[2], base64.b64encode(auth.encode()).decode()]
    values += [inputs["token"], inputs["fleet_token"], os.environ.get("MODELFLIGHT_ID_TOKEN", "")]
    return [value for value in values if value]


def _at_prefect(system: System, inputs: dict[str, Any]) -> Ending:
    if not inputs["deployment"]:
        raise InvalidInput(
            "No deployment is named.",
            where="deployment",
            next_step="Set it to NAME.MODEL: the repository's name in Prefect and the model's name.",
        )
    commit = inputs["commit"] or system.commit
    with PrefectApi.from_environment() as api:
        started = start_run(api, inputs["deployment"], commit, inputs["attempt"], console.show_progress)
        try:
            return wait_for(api, started, inputs["timeout"], console.show_progress)
        except ModelflightError as error:
            return Ending("failed", release_id=started.release_id, page=started.page, error=error)
        except KeyboardInterrupt:
            if inputs["cancel_on_abort"]:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it comes soon
                api.cancel(started.run)
            console.warn(
                f"the run {'is cancelled' if inputs['cancel_on_abort'] else 'goes on'}: {started.page}"
            )
            raise


def _here(system: System, repository: str, inputs: dict[str, Any]) -> Ending:
    from deployments.start.chain import Access, release_here

    access = Access(
        inputs["token"], inputs["fleet_token"], inputs["role_to_assume"], inputs["aws_region"],
        inputs["eks_cluster"],
    )  # fmt: skip
    return release_here(
        system,
        Path(repository),
        inputs["commit"],
        inputs["model"],
        inputs["attempt"],
        inputs["approve"],
        access,
    )


if __name__ == "__main__":
    main(prog_name="python -m deployments.start")

"""Running the flow from the command line, with the Prefect API at hand or one of its own."""

import os
from pathlib import Path
from typing import cast

from deployments.console import StepLines
from tasks.address import check_address, redact
from tasks.errors import PrefectUnreachable
from tasks.release import Release

# Read by Prefect when it is imported; what the user has set stays.
_PREFECT_SETTINGS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # Prefect's lines would hide the steps
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Making a new database takes longer than the usual 20 seconds on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}


def run_release(repository: str, commit: str, model: str | None, attempt: int) -> Release:
    """Runs the flow `release-model` in this process and shows its steps.

    Raises:
        PrefectUnreachable: there is no Prefect API to run it with.
        ModelflightError: what ended the release.
    """
    check_address(repository, "the notebook repository")
    if "://" not in repository and Path(repository).exists():
        repository = str(Path(repository).resolve())
    for name, value in _PREFECT_SETTINGS.items():
        os.environ.setdefault(name, value)
    lines = StepLines()
    _reach_prefect(lines)
    from flows.release_model import release_model

    with lines.attached():
        done = release_model(repository=repository, commit=commit, model=model, attempt=attempt)
    return cast(Release, done)


def _reach_prefect(lines: StepLines) -> None:
    """Makes sure that the API answers, before Prefect would say so with a traceback."""
    lines.begin("reach Prefect")
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
    except RuntimeError as error:
        problem = error
    lines.end(redact(address) if address else "an API of its own; PREFECT_API_URL names another")
    if problem is not None:
        raise PrefectUnreachable(
            "The Prefect API does not answer.",
            where=redact(address or "the API that Prefect starts by itself"),
            why=redact(str(problem)),
            next_step="Start it with `prefect server start`, correct PREFECT_API_URL, or unset it.",
        ) from None

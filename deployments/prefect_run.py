"""Running the flow from the command line, with the Prefect API at hand or one of its own."""

import os
from pathlib import Path
from typing import cast

from deployments.console import step_lines
from tasks.address import check_address
from tasks.release import Release


def run_release(repository: str, commit: str, model: str | None, attempt: int) -> Release:
    """Runs the flow `release-model` in this process and shows its steps.

    Raises:
        ModelflightError: what ended the release.
    """
    check_address(repository, "the notebook repository")
    if "://" not in repository and Path(repository).exists():
        repository = str(Path(repository).resolve())
    # Read by Prefect when it is imported: its own console lines would hide the steps.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    from flows.release_model import release_model

    with step_lines():
        done = release_model(repository=repository, commit=commit, model=model, attempt=attempt)
    return cast(Release, done)

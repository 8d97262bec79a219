"""Running the flow from the command line, with the Prefect API at hand or one of its own."""

import os
from contextlib import closing
from pathlib import Path
from typing import cast

from deployments.approver import Approver
from deployments.console import StepLines, warn
from flows.settings import Backends
from tasks.address import check_address, redact
from tasks.errors import InvalidInput, PrefectUnreachable
from tasks.notebook.worktree import is_unpushed, top_level, uncommitted
from tasks.release import Release

# Read by Prefect when it is imported; what the user has set stays.
_PREFECT_SETTINGS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # Prefect's lines would hide the steps
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",  # the same for Prefect's client
    # Making a new database takes longer than the usual 20 seconds on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}


def run_release(
    repository: str,
    commit: str,
    model: str | None,
    attempt: int,
    *,
    accept_unknown_champion: bool = False,
    approver: Approver | None = None,
) -> Release:
    """Runs the flow `release-model` in this process and shows its steps.

    The `approver` answers for a model that needs a person's approval.

    Raises:
        InvalidInput: the address or the settings cannot be used.
        PrefectUnreachable: there is no Prefect API to run it with.
        ModelflightError: what ended the release.
    """
    check_address(repository, "the notebook repository")
    Backends.from_environment()  # before Prefect is started, which takes a while
    if "://" not in repository and Path(repository).is_dir():
        repository = _working_copy(Path(repository), commit)
    lines = StepLines()
    with closing(lines):
        reach_prefect(lines)
        from flows.approval import answering
        from flows.release_model import release_model

        with lines.attached(), answering(approver):
            done = release_model(
                repository=repository,
                commit=commit,
                model=model,
                attempt=attempt,
                accept_unknown_champion=accept_unknown_champion,
            )
    return cast(Release, done)


def _working_copy(path: Path, commit: str) -> str:
    """The repository that `path` lies in; says what of it is not going to be released."""
    top = top_level(path)
    changed = uncommitted(top) if commit == "HEAD" else []
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        warn(f"a release is made of commits; these changes are in none: {', '.join(changed[:3])}{more}")
    if is_unpushed(top, commit):
        warn(
            "no remote has the commit that is released; push it, so that others find what the model came from"
        )
    return str(top)


def reach_prefect(lines: StepLines, *, shared: bool = False) -> None:
    """Makes sure that the API answers, before Prefect would say so with a traceback.

    A `shared` one has to be named: one of its own would have nothing registered, and serve nobody.
    Prefect must not have been imported before.

    Raises:
        InvalidInput: none is named.
        PrefectUnreachable: it does not answer.
    """
    for name, value in _PREFECT_SETTINGS.items():
        os.environ.setdefault(name, value)
    lines.begin("reach Prefect")
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    if shared and not address:
        raise InvalidInput(
            "No Prefect API is named.",
            where="PREFECT_API_URL",
            why="This is about what is registered and deployed in a Prefect that others use, too.",
            next_step="Start `modelflight up`, and set PREFECT_API_URL to the API that it prints.",
        )
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
            if problem is None:
                client.api_version()  # its health, it tells to anybody
    except RuntimeError as error:
        problem = error
    except PrefectHTTPStatusError as error:
        if error.response.status_code in (401, 403):  # Prefect Cloud has no such route, and is no problem
            raise PrefectUnreachable(
                "The Prefect API does not accept the credential.",
                where=redact(address or ""),
                why=f"It answers {error.response.status_code} {error.response.reason_phrase}.",
                next_step="Set PREFECT_API_AUTH_STRING or PREFECT_API_KEY to what it asks for.",
            ) from None
    reached = redact(address) if address else "an API of its own; PREFECT_API_URL names another"
    lines.end(f"failed: {reached}" if problem else reached)
    if problem is not None:
        raise PrefectUnreachable(
            "The Prefect API does not answer.",
            where=redact(address or "the API that Prefect starts by itself"),
            why=redact(str(problem)),
            next_step="Start it with `prefect server start`, correct PREFECT_API_URL, or unset it.",
        ) from None

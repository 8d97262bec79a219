"""Starting a model's run at a Prefect API and following it to its end."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from deployments.console import printable
from deployments.start.api import Document, PrefectApi
from deployments.start.ending import Ending, NoVerdict
from tasks.address import redact
from tasks.errors import InvalidInput, ModelflightError
from tasks.release import CommitSha, ReleaseId
from tasks.start import Start

Show = Callable[[str], None]

_ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_LOGS_ARRIVE = 3.0  # seconds; Prefect's processes send them every two
_DISORDER = timedelta(seconds=30)  # records of the worker and of the run's batches come in any order
_FIRST_POLL, _LAST_POLL = 1.0, 10.0  # seconds between two looks at a run: at its beginning, and after minutes
_MEANING = {
    "Late": "no worker has taken the run yet",
    "AwaitingConcurrencySlot": "waits for another release of the model",
    "Suspended": "waits for a person's answer on its page",
    "Paused": "waits for a person's answer on its page",
}


@dataclass(frozen=True)
class Started:
    """A run at a Prefect API; `release_id` is empty where the run itself finds its commit."""

    run: str
    model: str
    release_id: str
    page: str


def start_run(api: PrefectApi, name: str, commit: str | None, attempt: int, show: Show) -> Started:
    """Starts the deployment `name` for one attempt at a commit, or finds the run that was started for it.

    Without a commit a new run is made in any case, which releases what the deployment's own parameters say.

    Raises:
        InvalidInput: there is no such deployment, or the commit is no whole commit id.
        PrefectUnreachable: the API does not answer, or not for this credential.
        ModelflightError: the run that was started for it earlier has failed.
    """
    sha = _sha(commit) if commit else None
    deployment = api.deployment(name)
    settings = deployment["parameters"]
    model = str(settings.get("model") or "")
    if sha and not settings.get("repository"):
        raise InvalidInput(
            f"The deployment {name!r} releases no commits.",
            where=name,
            why="It has no repository.",
            next_step="Give NAME.MODEL: the repository's name in Prefect and the model's name.",
        )
    wanted = Start(UUID(deployment["id"]), str(settings["repository"]), sha, attempt) if sha else None
    run, new = api.create_run(deployment["id"], wanted)
    page = api.page(run["id"])
    show(f"{'Started' if new else 'Found the run of this commit and attempt:'} {page}")
    if not new and run["state"]["type"] in _ENDED[1:]:
        raise ModelflightError(
            f"Attempt {attempt} at this commit has ended before, as {run['state']['name'].lower()}.",
            where=page,
            why=redact(run["state"].get("message") or ""),
            next_step=f"Retry the run on its page, where it goes on from its last step, or start attempt "
            f"{attempt + 1}.",
        )
    return Started(run["id"], model, str(ReleaseId.of(model, sha, attempt)) if sha and model else "", page)


def wait_for(api: PrefectApi, started: Started, seconds: float, show: Show) -> Ending:
    """The run's ending; what its steps log is shown meanwhile.

    After `seconds` it is left running, and the ending has the error `NoVerdict`.
    """
    began = time.monotonic()
    log = _Log(api, started.run)
    shown = ""
    while True:
        run = api.run(started.run)
        state = str(run["state"]["name"])
        for line in log.news(all_there=False):
            show(line)
        if state != shown:
            shown = state
            show(_line("run", f"{state}: {_MEANING[state]}" if state in _MEANING else state))
        passed = time.monotonic() - began
        if run["state"]["type"] in _ENDED:
            time.sleep(_LOGS_ARRIVE)
            for line in log.news(all_there=True):
                show(line)
            return ending(api, started, run)
        if passed >= seconds:
            return _unfinished(ending(api, started, run), seconds)
        pause = min(max(_FIRST_POLL, passed / 30), _LAST_POLL)
        time.sleep(min(pause, seconds - passed))


def ending(api: PrefectApi, started: Started, run: Document | None = None) -> Ending:
    """Where the run stands."""
    return Ending.of_run(
        run or api.run(started.run), api.tables(started.run), started.model, started.release_id, started.page
    )


def _sha(commit: str) -> CommitSha:
    try:
        return CommitSha(commit)
    except ValueError:
        raise InvalidInput(
            "The commit is not named by its whole id.",
            where=f"commit {commit!r}",
            why="One release is started for one commit, from wherever it is asked for.",
            next_step="Give all of its 40 hex digits: `git rev-parse HEAD`.",
        ) from None


def _unfinished(stands: Ending, seconds: float) -> Ending:
    return replace(
        stands,
        error=NoVerdict(
            f"There was no verdict within {seconds:.0f} seconds; the run is {stands.outcome}.",
            where=stands.page,
            next_step="The run goes on. The same command follows it again, with --timeout for longer.",
        ),
    )


def _line(step: str, text: str) -> str:
    first = text.partition("\n")[0]
    return f"{step:<17} {printable(redact(first))}"


class _Log:
    """What a run's steps have logged, each record once."""

    def __init__(self, api: PrefectApi, run: str) -> None:
        self._api = api
        self._run = run
        self._seen: set[str] = set()
        self._names: dict[str, str] = {}
        self._after: str | None = None

    def news(self, *, all_there: bool) -> list[str]:
        """Lines for the records that came since the last call; `all_there`: no later ones will."""
        records = [each for each in self._api.logs(self._run, self._after) if each["id"] not in self._seen]
        if {each["task_run_id"] for each in records} - {None} - self._names.keys():
            self._names = self._api.steps(self._run)
        # Task runs reach the API on another way than their records, and may come later.
        known = {None, *self._names}
        told = [each for each in records if all_there or each["task_run_id"] in known]
        self._seen |= {each["id"] for each in told}
        if told:
            newest = max(datetime.fromisoformat(each["timestamp"]) for each in told)
            self._after = (newest - _DISORDER).isoformat()
        return [line for each in told if (line := self._line(each))]

    def _line(self, record: Document) -> str:
        message = str(record["message"])
        if record["task_run_id"] is None:  # Prefect's own, about the process
            return _line("run", message) if record["level"] >= logging.WARNING else ""
        if message.startswith("Finished in state"):
            return ""
        step = self._names.get(record["task_run_id"], "a step")
        return _line(step, message.removeprefix(f"{step}: "))

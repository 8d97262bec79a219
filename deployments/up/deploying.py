"""`modelflight deploy`, run whenever what is registered in Prefect's blocks changed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO, Any

import httpx

from deployments.up.api import Api
from deployments.up.log import Log
from deployments.up.part import Part, tied

_LOOK_EVERY = 5  # seconds
_NAMED = 5  # in one line
_PAUSES = (15, 30, 60, 120, 300)  # seconds before it is tried again


class Deploying:
    """Runs the command beside the parts; what cannot be deployed now is told and tried again later.

    Args:
        api: where registrations are looked up.
        after: the part that must be ready; None where the API is another one's.
        environment: of the command.
        log: what it writes to standard error.
    """

    def __init__(self, api: Api, after: Part | None, environment: Mapping[str, str], log: Log) -> None:
        self.registered: Mapping[str, str] = {}
        self.tried = False
        self._found: object = None
        self._deployed: object = None  # of what was found
        self._api, self._after, self._environment, self._log = api, after, environment, log
        self._process: subprocess.Popen[bytes] | None = None
        self._answer: IO[bytes] | None = None
        self._failures = 0
        self._look_at = 0.0

    def tick(self, say: Callable[[str], None]) -> None:
        """Starts the command where it is due, and tells how it ended."""
        if self._process is not None:
            if self._process.poll() is not None:
                self._ended(self._process.returncode, say)
        elif time.monotonic() >= self._look_at and (self._after is None or self._after.ready):
            self._look_at = time.monotonic() + _LOOK_EVERY
            with suppress(httpx.HTTPError):
                self.registered = self._api.registrations()
                self._found = (self.registered, self._api.notified())
                if self._found != self._deployed:
                    self._start()

    def kill(self) -> None:
        """Ends the command; it can be repeated from any point."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._answer = TemporaryFile()  # noqa: SIM115 - read when the command has ended
        self._process = subprocess.Popen(
            tied([sys.executable, "-m", "deployments.cli", "deploy", "--output", "json"]),
            stdin=subprocess.DEVNULL,
            stdout=self._answer,
            stderr=subprocess.PIPE,
            env=dict(self._environment),
            start_new_session=True,
        )
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        self._log.follow(self._process.stderr)

    def _ended(self, status: int, say: Callable[[str], None]) -> None:
        answer = self._read()
        self.kill()
        self.tried = True
        for line in _changes(answer.get("actions", ())):
            say(line)
        if status == 0:
            self._failures, self._deployed = 0, self._found
            return
        pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        self._look_at = time.monotonic() + pause
        for subject, error in _errors(answer):
            say(f"not deployed: {subject}: {error['what']} {error['why']}".rstrip())
        say(f"what is registered could not all be deployed; tried again in {pause} s. Log: {self._log.path}")

    def _read(self) -> dict[str, Any]:
        assert self._answer is not None  # noqa: S101 - it was started
        with self._answer as file:
            file.seek(0)
            try:
                answer: dict[str, Any] = json.load(file)
            except ValueError:
                return {}
        return answer


def _changes(actions: Iterable[Mapping[str, str]]) -> Iterator[str]:
    names = defaultdict(list)
    for action in actions:
        if action["do"] != "unchanged":
            names[f"{action['do']} {action['kind']}"].append(action["name"])
    for what, named in names.items():
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        yield f"deployed: {what} {', '.join(named[:_NAMED])}{more}"


def _errors(answer: Mapping[str, Any]) -> list[tuple[str, Mapping[str, str]]]:
    problems = [(each["name"], each["error"]) for each in answer.get("problems", ())]
    return [("all", answer["error"])] if "error" in answer else problems

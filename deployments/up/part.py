"""A part of `modelflight up`: one process, started, watched, and started again when it dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deployments.up.log import Log
from tasks.errors import PartFailed

_LONGEST_PAUSE = 16  # seconds between two starts
_MOST_DEATHS = 5  # in a row
_LOOK_EVERY = 0.05  # seconds, while it stops
_STEADY = 60  # seconds after which a part's earlier deaths do not count any more
_TIED = Path(__file__).with_name("tied.py")


def tied(command: Sequence[str]) -> list[str]:
    """The command, ended by the kernel when this process ends in whatever way."""
    return [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), *command]


@dataclass
class Part:
    """A program that is to run all the time.

    `prepare` runs before each start, `is_ready` tells whether it serves, `address` is told when it does.
    `needs` are the parts that must be ready before it is started.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Log
    is_ready: Callable[[], bool]
    address: str = ""
    needs: Sequence["Part"] = ()
    prepare: Callable[[], object] = lambda: None
    ready_within: float = 180  # seconds; a busy machine is ten times slower than an idle one
    stop_within: float = 10  # seconds
    ready: bool = False
    deaths: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _started: float = 0.0
    _not_before: float = 0.0

    @property
    def running_for(self) -> float:
        """Seconds since its last start."""
        return time.monotonic() - self._started

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None

    def tick(self, say: Callable[[str], None]) -> None:
        """Starts it where it is due, sees whether it is ready, and notices when it died.

        Raises:
            PartFailed: it died again and again.
        """
        if self._process is None:
            if time.monotonic() >= self._not_before and all(part.ready for part in self.needs):
                with suppress(httpx.HTTPError):  # what it needs is gone again
                    self.prepare()
                    self.start()
                    say(f"{self.name:<17}           starting")
            return
        status = self._process.poll()
        if status is None and not self.ready:
            if self.is_ready():
                self.ready = True
                say(f"{self.name:<17} {self.running_for:6.1f} s  {self.address}".rstrip())
            elif self.running_for > self.ready_within:
                self._end(signal.SIGKILL)
                self._died(f"was not ready within {self.ready_within:.0f} s", say)
        elif status is not None:
            self._end(signal.SIGKILL)  # what it left behind
            self._died(f"ended with exit status {status}", say)

    def start(self) -> None:
        """Starts the process, tied to this one; Ctrl-C does not reach it."""
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            tied(self.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self.environment),
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self.log.follow(self._process.stdout)

    def stop(self, at_once: Callable[[], bool]) -> None:
        """Ends it: politely first; by force after `stop_within` seconds, or when `at_once` says so."""
        if self._process is None:
            return
        self._process.terminate()
        deadline = time.monotonic() + self.stop_within
        while self._process.poll() is None and time.monotonic() < deadline and not at_once():
            time.sleep(_LOOK_EVERY)
        self._end(signal.SIGKILL)

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        """Sends the signal to all of its processes, and waits for the first of them."""
        assert self._process is not None  # noqa: S101 - the callers looked
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        self._process.wait()
        self._process = None
        self.ready = False

    def _died(self, how: str, say: Callable[[str], None]) -> None:
        self.deaths = 1 if self.running_for > _STEADY + self.ready_within else self.deaths + 1
        if self.deaths >= _MOST_DEATHS:
            raise PartFailed(
                f"{self.name} {how}, {self.deaths} times in a row.",
                where=str(self.log.path),
                why=self.log.tail() or "It wrote nothing.",
                next_step="Correct what its log says, and start again: no data is lost.",
            )
        pause = min(2 ** (self.deaths - 1), _LONGEST_PAUSE)
        self._not_before = time.monotonic() + pause
        say(f"{self.name} {how}; it is started again in {pause} s. Its log: {self.log.path}")

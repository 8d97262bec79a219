"""What all components of the testbed have in common: how they are started, waited for, read and stopped."""

import os
import signal
import ssl
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import httpx

LOG_LINES = 20  # shown when a component fails


class ComponentFailed(Exception):
    """A component died, or was not ready in time; the message ends with the last lines of its log."""


class Component(ABC):
    """One program of the testbed, in a folder of its own; what it writes goes to `log` there.

    A subclass says what to run (`command`), how to see that it serves (`is_ready`), and offers its
    addresses. Starting again after `stop` or `kill` goes on with the same data.
    """

    name: ClassVar[str]
    ready_within: ClassVar[float] = 60  # seconds; a busy machine is ten times slower than an idle one

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The program and its arguments; no secrets among them."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves. Asked again and again, also while nothing listens yet."""

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Writes what the program reads when it starts."""

    def environment(self) -> Mapping[str, str]:
        """What is added to this process's environment."""
        return {}

    @property
    def log(self) -> Path:
        """What the program wrote to standard output and error, over all its starts."""
        return self.folder / "log"

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts the program without waiting for it."""
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        self.prepare()
        command = [str(part) for part in self.command()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                process_group=0,  # Ctrl-C reaches the testbed alone, which stops its components in order
            )
        return self

    def wait(self) -> Self:
        """Waits until the component is ready.

        Raises:
            ComponentFailed: it ended, or `ready_within` seconds passed.
        """
        self.wait_for(self.is_ready, "ready")
        return self

    def wait_for(self, condition: Callable[[], bool], what: str, pause: float = 0.05) -> None:
        """Waits until `condition` holds while the program runs; `what` completes "is not ...".

        It is looked at again after `pause` seconds.

        Raises:
            ComponentFailed: the program ended, or `ready_within` seconds passed.
        """
        deadline = time.monotonic() + self.ready_within
        while True:
            if self._process is None or (code := self._process.poll()) is not None:
                ending = "was not started" if self._process is None else f"ended with exit status {code}"
                raise ComponentFailed(f"{self.name} {ending}.\n{self.log_tail()}")
            if condition():
                return
            if time.monotonic() > deadline:
                raise ComponentFailed(
                    f"{self.name} is not {what} after {self.ready_within:.0f} s.\n{self.log_tail()}"
                )
            time.sleep(pause)

    def stop(self, within: float = 10) -> None:
        """Ends the program politely, and after `within` seconds by force."""
        self._end(signal.SIGTERM, within)

    def kill(self) -> None:
        """Ends the program as a crash would."""
        self._end(signal.SIGKILL, 10)

    def _end(self, signal_number: int, within: float) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log_tail(self, lines: int = LOG_LINES) -> str:
        """The last lines of the log, under a heading."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        shown = "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"
        return f"--- {self.name}: the last lines of its log\n{shown}"


def answers(url: str, *, status: int = 200, verify: ssl.SSLContext | bool = False, token: str = "") -> bool:
    """Whether GET `url` answers with `status`; false while nothing listens.

    `verify` is httpx's; by default no certificate is checked, for loading the world's authorities takes
    longer than the answer.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return httpx.get(url, headers=headers, verify=verify, timeout=2).status_code == status
    except httpx.HTTPError:
        return False

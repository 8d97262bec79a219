"""`modelflight up` as a process, its parts, and the Prefect API that it runs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.prefect_api import Patient
from tests.repositories import TOP

TIED = TOP / "deployments" / "up" / "tied.py"  # also lets it hear SIGINT when pytest does not
PATIENCE = 400  # seconds; a busy machine is ten times slower than an idle one


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """Waits until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if held := condition():
                return held
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {within} s")


def processes() -> dict[int, int]:
    """The parent of each process that lives; zombies do not."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            if state[0] not in b"ZX":
                parents[int(folder.name)] = int(state[1])
    return parents


def descendants(process: int) -> set[int]:
    parents, found = processes(), {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def _command(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


class Up:
    """One `modelflight up`; `document` is what it printed when it was ready."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.home = home
        self.port, self.receiver_port = free_port(), free_port()
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        ports = ["--port", str(self.port), "--receiver-port", str(self.receiver_port)]
        command = [sys.executable, "-m", "deployments.cli", "up", "--home", str(home), "--output", "json"]
        with (home.parent / "up.err").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(TIED), str(os.getpid()), *command, *ports, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=kept | {"PYTHONPATH": str(Path(__file__).parent)} | environment,
                cwd=TOP,
            )
        self.document: dict[str, Any] = {}

    def __enter__(self) -> "Up":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait(self) -> "Up":
        """Waits for the document that says that all parts serve."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            with suppress(ValueError):
                self.document = json.loads(b"".join(lines))
                return self
        raise AssertionError(f"it ended: {self.said}")

    @property
    def said(self) -> str:
        """What it and earlier ones over the same data wrote to standard error."""
        return (self.home.parent / "up.err").read_text()

    def client(self, login: str = "") -> httpx.Client:
        user, _, password = login.partition(":")
        auth = httpx.BasicAuth(user, password) if login else None
        address = f"http://127.0.0.1:{self.port}/api"
        return httpx.Client(base_url=address, auth=auth, timeout=30, transport=Patient())

    def part(self, *words: str) -> int:
        """The process of the part whose command line has the words; its forks have them, too."""
        found = {each for each in descendants(self.process.pid) if set(words) <= set(_command(each))}
        parents = processes()
        for process in found:
            if parents.get(process) not in found:
                return process
        raise AssertionError(f"no process with {words}")

    def interrupt(self) -> int:
        """Presses Ctrl-C, and returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@contextmanager
def up(home: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    with Up(home, *arguments, **environment) as started:
        yield started.wait()

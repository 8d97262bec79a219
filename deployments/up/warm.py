"""A process that has imported what flows import, and forks the process of a flow run when asked to.

Starting an interpreter and importing Prefect takes seconds; a fork of this one takes milliseconds. The
requests come from `start_run.py`, which is the flow run's process as far as Prefect's worker sees; each is a
connection that carries the environment, the working folder and the standard streams to run with, then signals
to pass on, and at last the exit status back. A run ends with its request: it is killed when the connection is
lost, and what it left running goes with it.

No thread may run here when it forks. What a run does after the fork is what `python -m prefect.engine` does.

Usage: python -m deployments.up.warm SOCKET
"""

import contextlib
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import flows
from deployments.up.start_run import SIZE, STREAMS, listening_in
from deployments.up.tied import end_with

ENGINE = "prefect.engine"
# What the engine itself imports only when it has a flow run.
_ENGINE_IMPORTS = ("prefect.flow_engine", "prefect._internal.metrics", "prefect.events.worker")
_REQUEST_WITHIN = 10  # seconds


@dataclass(frozen=True)
class Request:
    """What a flow run's process is started with."""

    environment: dict[str, str]
    folder: str
    streams: list[int]


@dataclass(frozen=True)
class Run:
    """A forked process and the connection that asked for it."""

    process: int
    watch: int
    connection: socket.socket

    def end(self) -> int:
        """Kills what is left of the run, and returns its exit status; negative, the signal that ended it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        os.close(self.watch)
        return status


def receive(connection: socket.socket) -> Request:
    """Reads a request.

    Raises:
        OSError, ValueError: the other side went away or is not `start_run.py`.
    """
    connection.settimeout(_REQUEST_WITHIN)
    size, streams, _, _ = socket.recv_fds(connection, SIZE.size, STREAMS)
    if len(streams) != STREAMS:  # somebody only looked whether this process listens
        raise ValueError("This is no request.")
    with connection.makefile("rb") as file:
        document = json.loads(file.read(SIZE.unpack(size)[0]))
    connection.settimeout(None)
    return Request(document["environment"], document["folder"], list(streams))


def serve(listener: socket.socket) -> Request:
    """Forks a process for each request; returns in those processes only."""
    zygote = os.getpid()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    _attend(selector, key.data, key.fileobj)
                    continue
                connection, _ = listener.accept()
                try:
                    request = receive(connection)
                except (OSError, ValueError, KeyError):
                    connection.close()
                    continue
                process = os.fork()
                if process == 0:
                    os.setsid()
                    end_with(zygote, signal.SIGKILL)
                    connection.close()
                    for other in [*selector.get_map().values()]:
                        _close(other.fileobj)
                    return request
                for stream in request.streams:
                    os.close(stream)
                run = Run(process, os.pidfd_open(process), connection)
                selector.register(run.watch, selectors.EVENT_READ, run)
                selector.register(connection, selectors.EVENT_READ, run)


def _attend(selector: selectors.BaseSelector, run: Run, ready: object) -> None:
    """Passes a signal on, or ends the run whose process or connection ended."""
    if run.connection not in selector.get_map():
        return  # both ended at once
    if ready is run.connection and (numbers := _received(run.connection)):
        for number in numbers:
            signal.pidfd_send_signal(run.watch, number)
        return
    selector.unregister(run.watch)
    selector.unregister(run.connection)
    status = run.end()
    with run.connection, contextlib.suppress(OSError):
        run.connection.sendall(status.to_bytes(SIZE.size, "big", signed=True))


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(16)
    except OSError:
        return b""


def _close(thing: object) -> None:
    if isinstance(thing, int):
        os.close(thing)
    elif isinstance(thing, socket.socket):
        thing.close()


def become(request: Request) -> NoReturn:
    """Runs Prefect's engine in this process, as the request says."""
    from prefect.context import get_settings_context, refresh_global_settings_context

    for target, stream in enumerate(request.streams):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    known = get_settings_context().settings
    refresh_global_settings_context()
    if get_settings_context().settings != known:
        # Prefect reads some settings while it is imported, which was before.
        os.execv(sys.executable, [sys.executable, "-m", ENGINE])  # noqa: S606 - no shell is wanted
    sys.argv = [ENGINE]
    runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
    sys.exit(0)


def prepare() -> None:
    """Imports what flow runs need.

    Raises:
        RuntimeError: an import started a thread; a fork would be without it.
    """
    for module in (*_ENGINE_IMPORTS, *_flow_modules()):
        importlib.import_module(module)
    # The engine was imported above, and is run once more as the main program.
    warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
    if threading.active_count() > 1 or len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("A library started a thread while it was imported.")


def _flow_modules() -> Iterator[str]:
    return (f"{flows.__name__}.{module.name}" for module in pkgutil.iter_modules(flows.__path__))


def main() -> None:
    """Serves requests until it is ended; in a forked process, runs its flow run."""
    prepare()
    with listening_in(Path(sys.argv[1])) as listener:
        request = serve(listener)
    become(request)


if __name__ == "__main__":
    main()

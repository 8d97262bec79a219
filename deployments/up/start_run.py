"""The process of a flow run, as Prefect's worker starts it: a warm one where it can, else Prefect's engine.

`modelflight up` keeps a process (`warm.py`) that has imported everything, and names its socket in
MODELFLIGHT_WARM. This program asks it to fork, passes signals on, and ends as the fork ends. Without it, or
when it does not answer, this program starts `python -m prefect.engine` instead. What either leaves running is
killed.

Usage: python -I -m deployments.up.start_run
"""

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from deployments.up import tied

VARIABLE = "MODELFLIGHT_WARM"
STREAMS = 3  # standard input, output and error
SIZE = struct.Struct("!i")
_ANSWER_WITHIN = 5  # seconds
_FORWARDED = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Works in `folder`, as socket paths must be shorter than 108 bytes."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def listening_in(path: Path) -> Iterator[socket.socket]:
    """A socket at `path`, in a folder that only this user may enter."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, _inside(path.parent):
        listener.bind(path.name)
        listener.listen(128)
        os.chdir("/")
        yield listener


def connect(path: Path) -> socket.socket:
    """A connection to the warm process.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_ANSWER_WITHIN)
    try:
        with _inside(path.parent):
            connection.connect(path.name)
    except OSError:
        connection.close()
        raise
    return connection


def ask(path: Path) -> socket.socket:
    """Asks for a process with this one's environment, folder and standard streams.

    Raises:
        OSError: nobody answers there.
    """
    document = json.dumps({"environment": dict(os.environ), "folder": str(Path.cwd())}).encode()
    connection = connect(path)
    try:
        socket.send_fds(connection, [SIZE.pack(len(document))], range(STREAMS))
        connection.sendall(document)
    except OSError:
        connection.close()
        raise
    connection.settimeout(None)
    return connection


def follow(connection: socket.socket) -> int:
    """Waits for the exit status; negative, the signal that ended the process."""
    for number in _FORWARDED:
        signal.signal(number, lambda received, _: connection.sendall(bytes([received])))
    answer = connection.recv(SIZE.size, socket.MSG_WAITALL)
    return int(SIZE.unpack(answer)[0]) if len(answer) == SIZE.size else -signal.SIGKILL


def run_engine() -> int:
    """Runs Prefect's engine in a process group of its own, and kills what it leaves; returns as `follow`."""
    tie = [sys.executable, "-I", "-S", tied.__file__, str(os.getpid())]
    engine = os.posix_spawn(
        sys.executable, [*tie, sys.executable, "-m", "prefect.engine"], os.environ, setpgroup=0
    )
    for number in _FORWARDED:
        signal.signal(number, lambda received, _: os.kill(engine, received))
    os.waitid(os.P_PID, engine, os.WEXITED | os.WNOWAIT)  # its group keeps its name until it is reaped
    with contextlib.suppress(ProcessLookupError):
        os.killpg(engine, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(engine, 0)[1])


def main() -> None:
    """Runs the flow run that PREFECT__FLOW_RUN_ID names, in a fork or in an engine of its own."""
    tied.end_with(os.getppid(), signal.SIGKILL)
    try:
        connection = ask(Path(os.environ[VARIABLE]))
    except (OSError, KeyError):
        status = run_engine()
    else:
        status = follow(connection)
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()

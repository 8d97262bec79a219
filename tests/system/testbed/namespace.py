"""Runs a command in namespaces of its own, so that it leaves nothing however it ends.

Processes, mounts, network links and rules live in private namespaces that the kernel removes with their last
process. What a namespace does not hold, the state folder and the cgroups, is removed by a keeper: a process
outside that does nothing but wait for everybody inside to be gone.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.testbed.cache import CACHE, cache_folder

CGROUPS = Path("/sys/fs/cgroup")
STATE = "MODELFLIGHT_TESTBED_STATE"

# What else a person has set, credentials above all, is not for tests.
KEPT = ("CI", "COLUMNS", "LANG", "LC_ALL", "NO_COLOR", "PATH", "PYTHONPATH", "TERM", "TZ")

_PREFIX = "modelflight-testbed-"
_IN_USE = "in-use"


def run(
    command: Sequence[str | Path],
    *,
    inherited: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> int:
    """Runs `command` in new namespaces and returns its exit status.

    Of this process's environment it gets `KEPT`. It finds a state folder in the environment variable
    `MODELFLIGHT_TESTBED_STATE`; the folder's name is also that of its cgroup. `inherited` are open files that
    it finds under the same numbers.
    """
    _sweep()
    state = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=state_folder()))
    in_use = os.open(state / _IN_USE, os.O_CREAT | os.O_RDWR)
    fcntl.flock(in_use, fcntl.LOCK_EX)  # of all that inherit the file: the keeper, and everybody inside
    alive, held_inside = os.pipe()
    _start_keeper(state, alive, in_use)
    os.close(alive)
    init = Path(__file__).with_name("init.py")
    process = subprocess.Popen(
        [
            "setpriv", "--pdeathsig", "KILL",
            "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
            sys.executable, init, state, *command,
        ],
        env={
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            CACHE: str(cache_folder()),
            **(environment or {}),
            STATE: str(state),
        },
        pass_fds=(held_inside, in_use, *inherited),
    )  # fmt: skip
    os.close(held_inside)
    os.close(in_use)

    def end(number: int, _frame: object) -> None:
        # A Ctrl-C at the terminal has reached everybody already, and is answered inside.
        if number == signal.SIGTERM:
            process.kill()

    former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    _wait_until_gone(state)
    return status if status >= 0 else 128 - status


def _start_keeper(state: Path, alive: int, in_use: int) -> None:
    """Forks the keeper; it outlives everybody, also when this process is killed."""
    if os.fork():
        os.wait()
        return
    if os.fork():
        os._exit(0)
    os.setsid()  # Ctrl-C and a closed terminal are not for the keeper
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    for number in (1, 2):
        os.dup2(0, number)
    kept = sorted((alive, in_use))
    os.closerange(3, kept[0])
    os.closerange(kept[0] + 1, kept[1])
    os.closerange(kept[1] + 1, os.sysconf("SC_OPEN_MAX"))
    os.read(alive, 1)  # ends when the last holder of the other end is dead
    while not remove(state):  # the kernel may still be unmounting
        time.sleep(0.1)
    os._exit(0)


def _sweep() -> None:
    """Removes what is left of runs whose keeper was killed, too, by a reboot or for want of memory."""
    for state in state_folder().glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (state / _IN_USE).open() as in_use:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while somebody lives
            remove(state)


def state_folder() -> Path:
    """Where state folders are made: `TMPDIR`, else /var/tmp, which is on a disk."""
    return Path(os.environ.get("TMPDIR") or "/var/tmp")


def remove(state: Path) -> bool:
    """Removes the state folder and its cgroups; false while something is still in use."""
    for cgroup in cgroups(state):
        for folder, _, _ in os.walk(cgroup, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                return False
    shutil.rmtree(state, ignore_errors=True)
    return not state.exists()


def cgroups(state: Path) -> list[Path]:
    """The cgroup that belongs to a state folder, in each hierarchy that has it."""
    version_2 = CGROUPS / state.name
    return [found for found in (version_2, *CGROUPS.glob(f"*/{state.name}")) if found.is_dir()]


def _wait_until_gone(state: Path, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while state.exists() or cgroups(state):
        if time.monotonic() > deadline:
            print(f"The testbed could not remove {state}; something still uses it.", file=sys.stderr)
            return
        time.sleep(0.05)

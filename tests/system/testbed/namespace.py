"""Runs a command in namespaces of its own, so that it leaves nothing however it ends.

Processes, mounts, network links and rules live in private namespaces that the kernel removes with their last
process. What a namespace does not hold, the state folder and the cgroups, is removed by a keeper: a process
outside that does nothing but wait for everybody inside to be gone.
"""

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
    state = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=os.environ.get("TMPDIR", "/var/tmp")))
    alive, held_inside = os.pipe()
    _start_keeper(state, alive, held_inside)
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
        pass_fds=(held_inside, *inherited),
    )  # fmt: skip
    os.close(held_inside)

    def pass_on(number: int, _frame: object) -> None:
        # A Ctrl-C at the terminal has reached everybody already; unshare itself ignores both signals.
        if number == signal.SIGTERM:
            _signal_inside(process.pid, signal.SIGTERM)

    former = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    _wait_until_gone(state)
    return status if status >= 0 else 128 - status


def _signal_inside(unshare: int, number: int) -> None:
    children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    for child in children:
        os.kill(int(child), number)


def _start_keeper(state: Path, alive: int, held_inside: int) -> None:
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
    alive = os.dup2(alive, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    os.read(alive, 1)  # ends when the last holder of the other end is dead
    for _ in range(100):  # the kernel may still be unmounting
        if remove(state):
            break
        time.sleep(0.1)
    os._exit(0)


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

"""Ties a process to its parent: the kernel ends it when the parent is gone, however that ended.

A shell that starts a program in the background lets it ignore SIGINT, which programs inherit; a Prefect
worker then never stops. So that signal gets its usual meaning back.

Usage: python -I -S tied.py PARENT_PID PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with(parent: int, by: signal.Signals) -> None:
    """Lets the kernel send `by` to this process, also after an exec, when the process `parent` is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before
        os.kill(os.getpid(), by)


if __name__ == "__main__":
    end_with(int(sys.argv[1]), signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted

"""The first process in the testbed's namespaces: makes them private, runs the command, buries orphans.

Started as a script by `namespace.run`: `init.py STATE COMMAND...`. It needs nothing but the standard library.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Runs the command and returns its exit status."""
    state, command = Path(sys.argv[1]), sys.argv[2:]
    for folder in ("home", "tmp", "var-lib", "var-lib-work"):
        (state / folder).mkdir()
    _run("mount", "--make-rprivate", "/")
    _run("mount", "--make-rshared", "/")  # kubelet passes mounts on to containers
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # What CNI plugins and others write to /var/lib goes into the state folder.
    upper = f"lowerdir=/var/lib,upperdir={state}/var-lib,workdir={state}/var-lib-work"
    _run("mount", "-t", "overlay", "-o", upper, "overlay", "/var/lib")
    _run("ip", "link", "set", "lo", "up")
    os.environ |= {"HOME": f"{state}/home", "TMPDIR": f"{state}/tmp"}
    # A shell without job control starts what is in the background deaf to Ctrl-C.
    child = os.posix_spawnp(command[0], command, os.environ, setsigdef=[signal.SIGINT])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal has sent it to the command as well
    while True:
        process, status = os.wait()
        if process == child:
            return os.waitstatus_to_exitcode(status)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The testbed cannot be isolated: {' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    code = main()
    sys.exit(code if code >= 0 else 128 - code)

"""Program for tests: one release after the other, each dies by SIGKILL right after the effect of one step.

Usage: killed_release.py REPOSITORY MODULE.FUNCTION ... A function is the noun package's, as the verb module
names it; the process of its release dies when it has returned, so that Prefect never learns of its result.
Each release is a fork, for importing Prefect takes seconds.
"""

import functools
import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

from deployments.up.warm import prepare


def release_and_die(repository: str, module_name: str, function_name: str) -> NoReturn:
    module = import_module(module_name)
    effect = getattr(module, function_name)

    @functools.wraps(effect)
    def then_die(*args, **kwargs):
        effect(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, function_name, then_die)
    from flows.release_model import release_model

    release_model(repository=repository)
    sys.exit("the release ended without reaching the step")


def main(repository: str, *effects: str) -> None:
    prepare()
    for effect in effects:
        process = os.fork()
        if process == 0:
            release_and_die(repository, *effect.rsplit(".", 1))
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status != -signal.SIGKILL:
            sys.exit(f"{effect}: exit status {status}")


if __name__ == "__main__":
    main(*sys.argv[1:])

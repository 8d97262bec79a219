"""Program for tests: a release that dies by SIGKILL right after the effect of one step.

Usage: killed_release.py MODULE FUNCTION REPOSITORY. The function is the noun package's, as the verb module
names it; the process dies when it has returned, so that Prefect never learns of its result.
"""

import functools
import importlib
import os
import signal
import sys


def main(module_name: str, function_name: str, repository: str) -> None:
    module = importlib.import_module(module_name)
    effect = getattr(module, function_name)

    @functools.wraps(effect)
    def then_die(*args, **kwargs):
        effect(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, function_name, then_die)
    from flows.release_model import release_model

    release_model(repository=repository)
    sys.exit("the release ended without reaching the step")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Builds the testbed and runs the system tests, or the playground, in it: `python -m tests.system VERB`."""

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from tests.system.playground import hold_open
from tests.system.testbed import debian, namespace, preflight, programs

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Runs one verb; what is missing on this machine is told all at once, and nothing is skipped."""
    parser = argparse.ArgumentParser(prog="python -m tests.system", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="install and build what the testbed consists of")
    verbs.add_parser("test", help="run the tests; further arguments go to pytest")
    verbs.add_parser("playground", help="hold the testbed open for a person")
    arguments, rest = parser.parse_known_args()
    if problems := list(preflight.problems()):
        return _refuse(problems)
    try:
        _obtain()
    except (programs.BuildFailed, debian.PackageMissing) as error:
        print(error, file=sys.stderr)
        return 1
    if problems := list(preflight.kernel_problems()):
        return _refuse(problems)
    match arguments.verb:
        case "test":
            return _test(rest)
        case "playground":
            return hold_open()
    return 0


def _refuse(problems: list[str]) -> int:
    print("The testbed cannot run on this machine:", *problems, sep="\n  - ", file=sys.stderr)
    return 2


def _obtain() -> None:
    """Fetches modules while packages are installed, the C compiler among them, and while others are built."""
    threading.Thread(target=programs.fetch, args=(programs.ALL,), daemon=True).start()
    debian.obtain_all(_say)
    programs.build(programs.ALL, _say)


def _test(arguments: list[str]) -> int:
    _say("Running the system tests in namespaces of their own")
    if not any(Path(argument.partition("::")[0]).exists() for argument in arguments):
        arguments = ["tests/system", *arguments]
    command = [sys.executable, "-m", "pytest", *arguments]
    return namespace.run(command, environment={"PYTHONPATH": str(ROOT)})


_began = time.monotonic()
_speaking = threading.Lock()


def _say(text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - _began), 60)
    with _speaking:
        print(f"[{minutes:2}:{seconds:02}] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without waiting for builds that go on; their compilers end with this process

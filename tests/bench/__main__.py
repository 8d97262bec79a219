"""Measures what Modelflight costs, beside what would be used instead: `make bench`, or

python -m tests.bench [TOPIC ...]
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from rich.console import Console

TOPICS = ("command_line", "chain", "deploy", "start", "receiver")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"{', '.join(TOPICS)}; all by default")
    topics = parser.parse_args().topics or TOPICS
    if unknown := set(topics) - set(TOPICS):
        parser.error(f"no topic: {', '.join(sorted(unknown))}")
    if len(topics) > 1:
        for topic in topics:  # each in a process of its own: what one imports is no memory of the next
            subprocess.run([sys.executable, "-m", "tests.bench", topic], check=True)
        return
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    console = Console()
    busy = "/".join(f"{load:.1f}" for load in os.getloadavg())
    console.print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, load {busy}"
    )
    with tempfile.TemporaryDirectory(prefix="modelflight-bench-") as folder:
        console.print(import_module(f"tests.bench.{topics[0]}").measure(Path(folder)))


if __name__ == "__main__":
    main()

"""How long the command line takes to answer. CPU seconds are medians over several runs."""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from rich.table import Table

from tests.bench.usage import cpu_seconds
from tests.repositories import EXAMPLE

RUNS = 5


def command_cpu(*arguments: str) -> float:
    before = cpu_seconds(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "deployments.cli", *arguments], check=True, capture_output=True)
    return cpu_seconds(resource.RUSAGE_CHILDREN) - before


def measure(_: Path) -> Table:
    table = Table("command", "CPU seconds", "spread", "wanted", title=f"Command line, {RUNS} runs")
    for name, arguments in (("--help", ("--help",)), ("check", ("check", str(EXAMPLE)))):
        command_cpu(*arguments)  # fills the caches
        measured = [command_cpu(*arguments) for _ in range(RUNS)]
        spread = f"{min(measured):.2f} to {max(measured):.2f}"
        table.add_row(f"modelflight {name}", f"{statistics.median(measured):.2f}", spread, "0.5")
    return table

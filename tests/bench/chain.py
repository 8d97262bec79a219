"""What the chain itself costs, beside Kale and the notebook's steps; medians over several runs."""

import os
import resource
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.usage import cpu_seconds, megabytes
from tests.repositories import EXAMPLE, Repositories

RUNS = 5


@contextmanager
def counting_children(module: Any, name: str, counted: dict[str, float]) -> Iterator[None]:
    """Adds the CPU seconds of the processes that a noun package's function starts to `counted[name]`."""
    function: Callable[..., Any] = getattr(module, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        before = cpu_seconds(resource.RUSAGE_CHILDREN)
        try:
            return function(*args, **kwargs)
        finally:
            counted[name] = counted.get(name, 0.0) + cpu_seconds(resource.RUSAGE_CHILDREN) - before

    setattr(module, name, run)
    try:
        yield
    finally:
        setattr(module, name, function)


def measure(folder: Path) -> Table:
    os.environ["MODELFLIGHT_HOME"] = str(folder / "home")
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "180"
    os.environ.pop("PREFECT_API_URL", None)
    from prefect import flow

    @flow
    def nothing() -> None:
        """Starts Prefect, so that its start is not counted."""

    nothing()
    memory = megabytes()
    import tasks.compile_notebook
    import tasks.run_pipeline
    from flows.release_model import release_model

    repositories = Repositories(folder)
    settings = (EXAMPLE / "modelflight.yaml").read_text()
    repositories.push_example()
    rows = []
    for trees in range(10, 10 + RUNS):
        changed = settings.replace("trees: 10", f"trees: {trees}").replace("tolerance: 0.01", "tolerance: 1")
        repositories.push({"modelflight.yaml": changed.replace("minimum: 0.9", "minimum: 0.1")})
        children: dict[str, float] = {}
        before = cpu_seconds(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        with (
            counting_children(tasks.compile_notebook, "compile_with_kale", children),
            counting_children(tasks.run_pipeline, "run_here", children),
        ):
            release_model(repository=str(repositories.notebooks))
        total = cpu_seconds(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) - before
        rows.append((total - sum(children.values()), children["compile_with_kale"], children["run_here"]))
    own, kale, steps = (statistics.median(column) for column in zip(*rows, strict=True))
    table = Table("what", "measured", "wanted", title=f"Release of the example, {RUNS} runs")
    table.add_row("the chain itself (Git included), CPU seconds", f"{own:.2f}", "3")
    table.add_row("  Kale's compile in its process, CPU seconds", f"{kale:.2f}", "")
    table.add_row("  the notebook's steps in theirs, CPU seconds", f"{steps:.2f}", "")
    growth = megabytes() - memory
    table.add_row("memory beside Prefect (resident after all runs), MB", f"{growth:.0f}", "60")
    return table

"""How long `modelflight deploy` takes for 200 models; instead, Prefect's `to_deployment(...).apply()`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.table import Table

from tests.bench.server import prefect
from tests.repositories import SMALL_SETTINGS, TOP, Repositories

MODELS = 200


def settings() -> str:
    """modelflight.yaml of that many models, each with a schedule."""
    head, model = SMALL_SETTINGS.split("models:\n")
    scheduled = f"{model}    schedule: {{cron: '0 3 * * 1', timezone: Europe/Berlin}}\n"
    models = (scheduled.replace("name: small", f"name: small{number}") for number in range(MODELS))
    return f"{head}models:\n{''.join(models)}"


def seconds(environment: dict[str, str], *command: str) -> tuple[float, str]:
    """How long the command takes, and what it prints."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, cwd=TOP, check=True, capture_output=True, text=True
    )
    return time.monotonic() - began, done.stdout


def measure(folder: Path) -> Table:
    repositories = Repositories(folder)
    repositories.push_small(settings())
    with prefect(folder) as server:
        environment = os.environ | {
            "PREFECT_API_URL": server.address,
            "PREFECT_HOME": str(folder / "client"),
            "MODELFLIGHT_HOME": str(folder / "home"),
        }
        server.register("notebooks", str(repositories.notebooks), None)
        ours = []
        for do in ("create", "unchanged"):
            took, answer = seconds(environment, "deployments.cli", "deploy", "--output", "json")
            done = [action for action in json.loads(answer)["actions"] if action["kind"] == "deployment"]
            assert len(done) == MODELS + 1  # and sync-models
            assert {action["do"] for action in done} == {do}
            ours.append(took)
        instead = [seconds(environment, "tests.bench.instead.deploy", str(MODELS))[0] for _ in ours]
    title = f"Deploying {MODELS} models, Prefect on SQLite"
    table = Table("seconds", "modelflight deploy", "wanted", "Prefect's apply()", "ratio", title=title)
    for name, took, wanted, other in zip(
        ("the first time", "when nothing changed"), ours, ("30", "5"), instead, strict=True
    ):
        table.add_row(name, f"{took:.1f}", wanted, f"{other:.1f}", f"{other / took:.1f}")
    return table

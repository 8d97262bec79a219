"""Real Git repositories for tests: a notebook repository and a fleet, as bare repositories in a folder."""

import json
import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).parent.parent
EXAMPLE = TOP / "infra" / "example"
FLEET = TOP / "infra" / "fleet"


def git(folder: Path, *arguments: str) -> str:
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def code(source: str, *tags: str) -> dict[str, object]:
    """A code cell."""
    return {
        "cell_type": "code",
        "id": f"cell-{abs(hash((source, tags))) % 10**8}",
        "execution_count": None,
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "source": source,
    }


def notebook(*cells: dict[str, object]) -> str:
    """The text of a notebook with `cells`."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {"cells": list(cells), "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    )


def small_notebook(
    train: str = "model = {'weight': weight}", score: str = "score = model['weight'] / 10"
) -> str:
    """A notebook that needs no library: two steps, a parameter, a metric."""
    return notebook(
        code("weight = 9", "pipeline-parameters"),
        code(f"{train}\nmodel", "step:train"),
        code(score, "step:evaluate", "prev:train"),
        code("print(score)", "pipeline-metrics"),
    )


SMALL_SETTINGS = """\
version: 1
models:
  - name: small
    notebook: small.ipynb
    parameters: {weight: 9}
    gate: {metric: score, minimum: 0.5, tolerance: 0.01}
    image: registry.example.com/models/wine
    fleet: {repository: ../fleet.git, path: apps/wine}
"""


class Repositories:
    """`notebooks.git` and `fleet.git` below `folder`, and what a test does with them."""

    def __init__(self, folder: Path) -> None:
        self.notebooks = folder / "notebooks.git"
        self.fleet = folder / "fleet.git"
        for bare in (self.notebooks, self.fleet):
            git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        self._work = folder / "work"
        self.push_fleet({str(file.relative_to(FLEET)): file.read_text() for file in FLEET.rglob("*.yaml")})

    def push(self, files: dict[str, str], message: str = "Change") -> str:
        """Pushes `files` to the notebook repository; returns the commit."""
        return self._push(self.notebooks, files, message)

    def push_fleet(self, files: dict[str, str], message: str = "Fleet") -> str:
        """Pushes `files` to the fleet; returns the commit."""
        return self._push(self.fleet, files, message)

    def push_small(self, settings: str = SMALL_SETTINGS, **cells: str) -> str:
        """Pushes the small notebook and its settings."""
        return self.push({"small.ipynb": small_notebook(**cells), "modelflight.yaml": settings})

    def push_example(self) -> str:
        """Pushes the example of infra/."""
        return self.push({file.name: file.read_text() for file in EXAMPLE.iterdir() if file.is_file()})

    def _push(self, bare: Path, files: dict[str, str], message: str) -> str:
        git(bare.parent, "clone", "--quiet", str(bare), str(self._work))
        for name, text in files.items():
            path = self._work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git(self._work, "add", "--all")
        git(self._work, "commit", "--quiet", "--allow-empty", "--message", message)
        git(self._work, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        commit = git(self._work, "rev-parse", "HEAD")
        shutil.rmtree(self._work)
        return commit

    def hook(self, bare: Path, name: str, script: str) -> None:
        """Installs a server-side hook."""
        path = bare / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def releases(self) -> list[str]:
        """The fleet's commits that a release made, newest first, as `Release-Id`s."""
        trailers = git(self.fleet, "log", "--format=%(trailers:key=Release-Id,valueonly)", "main")
        return [line for line in trailers.splitlines() if line]

"""The demonstration, as `make demo` runs it, and the example in Jupyter."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.repositories import EXAMPLE, TOP, git


def demo(*arguments: str, own_api: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs the demo, with the Prefect API of the tests or, as on a fresh machine, one of its own."""
    environment = {
        key: value for key, value in os.environ.items() if not (own_api and key.startswith("PREFECT_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli", "demo", *arguments],
        cwd=TOP,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_releases_a_report_and_a_repetition_that_changes_nothing(
    prefect_api: str, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    first = demo("--keep", str(folder), "--output", "json", own_api=True)
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    one, two = document["releases"]
    assert (one["verdict"], two["verdict"]) == ("untracked", "untracked")
    assert one["image"]["digest"] != two["image"]["digest"]
    (compared,) = two["decision"]["comparisons"]
    assert compared["champion"] == one["metrics"]["accuracy"] < two["metrics"]["accuracy"]
    log = git(folder / "fleet.git", "log", "--format=%H", "main").splitlines()
    assert log[:2] == [two["fleet_commit"]["commit"], one["fleet_commit"]["commit"]]
    report = Path(document["report"]).read_text()
    for release in (one, two):
        assert release["image"]["digest"] in report
        assert release["fleet_commit"]["commit"] in report

    again = demo("--keep", str(folder))
    assert again.returncode == 0, again.stderr
    assert two["image"]["digest"] in again.stdout
    assert git(folder / "fleet.git", "log", "--format=%H", "main").splitlines() == log


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = demo("--keep", str(tmp_path))
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_example_runs_in_jupyter_as_it_stands(tmp_path: Path) -> None:
    executed = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "--output", str(tmp_path / "out.ipynb"), "wine.ipynb"],
        cwd=EXAMPLE,
        env=os.environ | {"JUPYTER_PLATFORM_DIRS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert executed.returncode == 0, executed.stderr
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    assert float(cells[-1]["outputs"][0]["text"][0]) > 0.9

"""The shape of the project: modules stand in import contracts, packages are bare, starting is quick."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
# Prefect tasks share their decorator, which is no verb and may import Prefect.
SHARED = {"tasks.step"}
HEAVY = (
    "kale",
    "kfp",
    "kubernetes",
    "boto3",
    "matplotlib",
    "git",
    "sklearn",
    "IPython",
    "joblib",
    "pyflakes",
)


def contracts() -> dict[str, set[str]]:
    """The modules that each import contract is about, by the contract's name."""
    with (TOP / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    keys = ("modules", "source_modules", "forbidden_modules")
    return {each["name"]: {module for key in keys for module in each.get(key, ())} for each in listed}


def modules() -> set[str]:
    """Everything directly in tasks/: modules and packages."""
    paths = [
        path for path in (TOP / "tasks").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    return {f"tasks.{path.stem}" for path in paths} - {"tasks.__init__"}


def test_every_module_of_tasks_stands_in_a_contract():
    assert modules() - set().union(*contracts().values()) == set()


def test_every_module_that_imports_prefect_is_a_verb_or_the_verbs_decorator():
    verbs = contracts()["Verb modules know no other verb module"]
    without = contracts()["Noun packages and value types never import Prefect"] - {"prefect"} - SHARED
    assert verbs & without == set()
    assert modules() == verbs | without | SHARED


def test_every_package_of_tasks_is_independent_of_the_others():
    packages = {f"tasks.{path.parent.name}" for path in (TOP / "tasks").glob("*/__init__.py")}
    assert packages == contracts()["Noun packages know no other noun package"]


@pytest.mark.parametrize(
    "path",
    sorted(
        path.relative_to(TOP).as_posix()
        for top in ("tasks", "flows", "deployments")
        for path in (TOP / top).rglob("__init__.py")
    ),
)
def test_packages_hold_nothing_of_their_own(path):
    assert (TOP / path).read_bytes() == b""


@pytest.mark.parametrize(
    ("module", "needed"),
    [
        ("flows.release_model", {"boto3"}),  # by the blocks of prefect-aws
        ("deployments.cli", set()),
        ("deployments.receiver.app", set()),
    ],
)
def test_importing_pulls_in_no_heavy_library(module, needed):
    heavy = [name for name in HEAVY if name not in needed]
    program = f"import sys, {module}; print(*(name for name in {heavy!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []

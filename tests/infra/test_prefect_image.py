"""The image that flow runs, the receiver and the deploy job run in."""

import re
import subprocess
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.infra.dockerfile import Dockerfile, Stage
from tests.repositories import TOP

FOLDER = TOP / "infra" / "prefect"
DOCKERFILE = Dockerfile.read(FOLDER / "Dockerfile")
BUILD, FINAL = DOCKERFILE.stages
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())


def sent(path: str) -> bool:
    """Whether the build gets the file or folder of the repository: the last line that fits decides."""
    verdict = True
    for line in (FOLDER / "Dockerfile.dockerignore").read_text().split():
        pattern = line.removeprefix("!")
        above = [path, *map(str, Path(path).parents)]
        if any(fnmatchcase(each, pattern) or fnmatchcase(f"/{each}", f"/{pattern}") for each in above):
            verdict = line.startswith("!")
    return verdict


def test_both_stages_begin_with_the_base_that_the_builder_chooses() -> None:
    assert list(DOCKERFILE.arguments) == ["BASE"]
    assert [stage.base for stage in DOCKERFILE.stages] == ["${BASE}", "${BASE}"]


def test_what_is_copied_is_in_the_repository_and_reaches_the_build() -> None:
    copied = [source for sources, _ in BUILD.copies() for source in sources]
    assert [each for each in copied if not (TOP / each).exists()] == []
    assert [each for each in copied if not sent(each)] == []
    assert FINAL.copies() == []


@pytest.mark.parametrize("path", [".git", ".venv", "demo", "tests", "infra/copy/bin", "tasks/__pycache__"])
def test_what_the_build_does_not_need_is_not_sent_to_it(path: str) -> None:
    assert not sent(path)


def test_all_that_the_project_is_built_from_is_copied() -> None:
    project, tool = PROJECT["project"], PROJECT["tool"]["hatch"]["build"]
    needed = {
        "pyproject.toml", "uv.lock", "hatch_build.py", project["readme"], *project["license-files"],
        *tool["targets"]["wheel"]["packages"],
    }  # fmt: skip
    assert {source for sources, _ in BUILD.copies() for source in sources} == needed


def test_the_stages_pass_on_one_folder_that_is_the_environment() -> None:
    assert FINAL.copies(BUILD.name) == [(["/opt/modelflight"], "/opt/modelflight")]
    assert BUILD.environment["UV_PROJECT_ENVIRONMENT"] == "/opt/modelflight"
    assert FINAL.environment["PATH"].split(":")[0] == "/opt/modelflight/bin"


def test_versions_come_from_the_lock() -> None:
    syncs = [run for run in BUILD.all("RUN") if " sync " in run]
    assert all("--locked" in run and "--no-dev" in run for run in syncs)
    assert "--no-editable" in syncs[-1]  # the source is not in the last stage
    (version,) = re.findall(r"^uv_version=(\S+)", action_installer(), re.MULTILINE)
    assert BUILD.all("ARG") == [f"UV_VERSION={version}"]


def action_installer() -> str:
    """How the GitHub Action installs; it must not read the lock with another uv."""
    return (TOP / "infra" / "github-action" / "install.sh").read_text()


def test_it_runs_as_a_user_by_number_that_owns_its_home() -> None:
    (user,) = FINAL.all("USER")
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)  # a cluster cannot tell who a name is
    (made,) = re.findall(r"useradd (.*)", FINAL.all("RUN")[0])
    assert f"--uid {user.split(':')[0]}" in made
    home = FINAL.environment["HOME"]
    assert f"--home-dir {home} --create-home" in made
    assert FINAL.environment["MODELFLIGHT_HOME"] == home
    assert FINAL.all("WORKDIR") == [home]


def packages(stage: Stage) -> str:
    """What the stage installs of Debian's."""
    (found,) = [run for run in stage.all("RUN") if "apt-get install" in run]
    return found


def test_programs_that_releases_start_are_there() -> None:
    # Git for repositories, ssh for those behind keys, an init that ends what is left over.
    assert all(f" {name} " in packages(FINAL) for name in ("git", "openssh-client", "tini"))
    assert FINAL.all("ENTRYPOINT") == ['["tini", "--"]']


def test_the_programs_of_the_steps_are_understood_by_a_shell() -> None:
    for stage in DOCKERFILE.stages:
        for script in stage.all("RUN"):
            subprocess.run(["sh", "-n", "-c", script], check=True)


def test_requirements_of_notebooks_can_be_named_and_none_are() -> None:
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    assert "--requirements infra/prefect/requirements.txt" in BUILD.all("RUN")[-1]

"""The GitHub Action's install.sh, with a Python whose environments write down what is installed in them."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repositories import TOP

OURS = ("deployments", "flows", "tasks")
SCRIPT = TOP / "infra" / "github-action" / "install.sh"
# `uv export` writes the lock's versions; whatever else pip and uv are asked to do is noted.
PYTHON = """#!/bin/bash
set -eu
case "${1:-} ${2:-}" in
"-m venv")
  rm -rf "$4" && mkdir -p "$4/bin"
  cp "$0" "$4/bin/python"
  printf '#!/bin/bash\\necho "pip $*" >> "$NOTES"\\n' > "$4/bin/pip"
  cat > "$4/bin/uv" <<'END'
#!/bin/bash
echo "uv $*" >> "$NOTES"
[ -z "${BREAKS:-}" ] || exit 7
while [ $# -gt 0 ]; do
  [ "$1" != --output-file ] || echo "prefect==3.8.8" > "$2"
  shift
done
END
  chmod +x "$4"/bin/*
  ;;
"-c "*purelib*) mkdir -p "$(dirname "$0")/../packages" && cd "$(dirname "$0")/../packages" && pwd ;;
*) exec "$REAL" "$@" ;;
esac
"""


@dataclass
class Runner:
    """A runner's machine, on which jobs install Modelflight."""

    folder: Path

    def install(self, mode: str = "job", requirements: str = "", **variables: str) -> "tuple[int, str]":
        """Exit code and log of a job's step."""
        given = {
            "PATH": os.environ["PATH"], "PYTHON": str(self.folder / "python"), "REAL": sys.executable,
            "NOTES": str(self.folder / "notes"), "MODELFLIGHT_MODE": mode, "REQUIREMENTS": requirements,
            "PREFECT_API_URL": "", "RUNNER_TEMP": "/nonexistent", "RUNNER_TOOL_CACHE": str(self.folder),
            "GITHUB_OUTPUT": str(self.folder / "output"),
        }  # fmt: skip
        done = subprocess.run(
            [SCRIPT], cwd=self.folder, env=given | variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    @property
    def notes(self) -> list[str]:
        """What pip and uv were asked for since the last look."""
        file = self.folder / "notes"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    @property
    def environment(self) -> Path:
        """The environment that the last step named."""
        python = (self.folder / "output").read_text().splitlines()[-1].removeprefix("python=")
        return Path(python).parent.parent


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "requirements.lock").write_text("scikit-learn==1.7.2\n")
    return Runner(tmp_path)


def test_mode_job_installs_all_of_it_with_the_locks_versions_and_the_notebooks_packages(
    runner: Runner,
) -> None:
    code, log = runner.install(requirements="requirements.lock")
    assert code == 0, log
    environment = runner.environment
    assert environment.name.startswith("job-")
    pip, export, install = runner.notes
    assert re.fullmatch(r"pip install .* uv==[0-9.]+", pip)
    assert "export --frozen --no-dev --no-emit-project" in export
    assert export.endswith(f"--directory {TOP} --output-file {environment}/lock.txt")
    assert install == (
        f"uv --quiet pip install --constraint {environment}/lock.txt {TOP} --requirements requirements.lock"
    )
    assert "prefect==3.8.8" in (environment / "lock.txt").read_text()


def test_mode_prefect_installs_the_little_that_starting_needs(runner: Runner) -> None:
    code, log = runner.install("prefect")
    assert code == 0, log
    assert runner.notes[-1].endswith("lock.txt click cronsim httpx pydantic")
    assert (runner.environment / "packages" / "modelflight.pth").read_text() == f"{TOP}\n"


@pytest.mark.parametrize(("address", "mode"), [("https://prefect.example.com/api", "prefect"), ("", "job")])
def test_the_mode_goes_by_the_prefect_api(runner: Runner, address: str, mode: str) -> None:
    code, log = runner.install("", PREFECT_API_URL=address)
    assert code == 0, log
    assert runner.environment.name.startswith(f"{mode}-")


def test_what_is_installed_is_found_again_and_other_requirements_are_another_environment(
    runner: Runner,
) -> None:
    runner.install(requirements="requirements.lock")
    first = runner.environment
    assert runner.notes
    runner.install(requirements="requirements.lock")
    assert (runner.environment, runner.notes) == (first, [])
    (runner.folder / "requirements.lock").write_text("scikit-learn==1.7.1\n")
    runner.install(requirements="requirements.lock")
    assert runner.environment != first
    assert runner.notes


def test_an_installation_that_broke_off_is_begun_anew(runner: Runner) -> None:
    assert runner.install(BREAKS="yes")[0] == 7
    assert not (runner.folder / "output").exists()
    assert runner.notes
    assert runner.install()[0] == 0
    assert runner.notes[-1].startswith("uv --quiet pip install")


def test_requirements_that_are_not_there_end_the_job(runner: Runner) -> None:
    code, log = runner.install(requirements="-x.txt")
    assert code != 0
    assert "-x.txt" in log
    assert runner.notes == []


def test_a_python_that_is_too_old_is_told_with_what_to_do(runner: Runner) -> None:
    (runner.folder / "python").write_text("#!/bin/bash\nexit 1\n")
    code, log = runner.install()
    assert code == 2
    assert log.startswith("::error title=Modelflight::It needs Python 3.11 to 3.13")


def needed_by(names: list[str]) -> set[str]:
    """The packages and all that they need, by their names."""
    found: set[str] = set()
    while names:
        name = canonicalize_name(names.pop())
        if name not in found:
            found.add(name)
            needed = map(Requirement, requires(name) or ())
            names += [each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


def test_starting_needs_no_more_than_mode_prefect_installs() -> None:
    (named,) = re.findall(r"lock\.txt\" (click .*)", SCRIPT.read_text())
    installed = needed_by(named.split())
    missing = [
        module for module, packages in packages_distributions().items()
        if not installed & {canonicalize_name(each) for each in packages} and module not in OURS
    ]  # fmt: skip
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n"  # importing these fails
        "from deployments.start.__main__ import main; main(['--deployment', 'notebooks.wine'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TOP, capture_output=True, text=True, check=False,
        env=os.environ | {"PREFECT_API_URL": "prefect.example.com"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "There is no Prefect API" in done.stderr

"""CI systems that a release is started from: what they tell a job, and how it tells them its end."""

import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from deployments.start.ending import Ending
from deployments.start.summary import summary
from tasks.errors import ModelflightError

# `modelflight.yaml:6: what is wrong`, one of them in each line, and `wine.ipynb, cell 3`.
_PROBLEM = re.compile(r"(?P<file>[^\s:][^:\n]*):(?P<line>\d+)(?::\d+)?: (?P<message>.*)")
_PLACE = re.compile(r"(?P<file>[^\s:/][^:,\n]*\.(?:ipynb|yaml|txt|lock))(?::(?P<line>\d+))?(?:, .*)?")


class System:
    """No CI system: what a job outside of one gets, and what the others have in common."""

    user = "git"  # whom the job's own token for the Git server belongs to

    @property
    def commit(self) -> str:
        """The commit that the job is for; empty where it is not told."""
        return ""

    @property
    def page(self) -> str:
        """The address of the job's page."""
        return ""

    def hide(self, values: Iterable[str]) -> None:
        """Keeps `values` out of the job's log."""

    @contextmanager
    def quoting(self) -> Iterator[None]:
        """While it is open, what is printed is the release's log and none of its lines is a command."""
        yield

    def export(self, name: str, value: str) -> None:
        """Sets a variable for the job's later steps, and for this one."""
        os.environ[name] = value

    def publish(self, ending: Ending, folder: str) -> None:
        """Leaves outputs and summary.

        `folder` is where the job has the working copy of the notebooks.
        """


class GitHub(System):
    """https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions."""

    user = "x-access-token"

    @property
    def commit(self) -> str:
        """The commit that was pushed; of a pull request, its merge."""
        return os.environ.get("GITHUB_SHA", "")

    @property
    def page(self) -> str:
        """The workflow run's page; GitHub tells a job no address of its own."""
        place = [os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
        return "{}/{}/actions/runs/{}".format(*place) if all(place) else ""

    def hide(self, values: Iterable[str]) -> None:
        """Masks them, also where they span lines."""
        for value in values:
            for line in filter(None, value.splitlines()):
                _command("add-mask", line)

    @contextmanager
    def quoting(self) -> Iterator[None]:
        """Commands are not obeyed until a word comes that nobody can know."""
        token = secrets.token_hex(16)
        _command("stop-commands", token)
        try:
            yield
        finally:
            click.echo(f"::{token}::")

    def export(self, name: str, value: str) -> None:
        """By the file that the runner reads after the step."""
        super().export(name, value)
        _append("GITHUB_ENV", _assigned({name: value}))

    def publish(self, ending: Ending, folder: str) -> None:
        """Outputs of the step, its summary, and annotations at files and lines."""
        _append("GITHUB_OUTPUT", _assigned(outputs(ending)))
        _append("GITHUB_STEP_SUMMARY", summary(ending))
        for place, message in annotations(ending, folder):
            _command("error", message, {"title": ending.title, **place})


class GitLab(System):
    """https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv, and collapsible sections."""

    user = "gitlab-ci-token"

    @property
    def commit(self) -> str:
        """The commit that the pipeline is for."""
        return os.environ.get("CI_COMMIT_SHA", "")

    @property
    def page(self) -> str:
        """The job's page."""
        return os.environ.get("CI_JOB_URL", "")

    @contextmanager
    def quoting(self) -> Iterator[None]:
        """A section of the log; GitLab obeys nothing else that is printed."""
        _section("start", "\x1b[1mRelease\x1b[0m")
        try:
            yield
        finally:
            _section("end")

    def publish(self, ending: Ending, folder: str) -> None:
        """The files `modelflight.env`, a dotenv report, and `modelflight.md`."""
        names = {name: f"MODELFLIGHT_{name.upper().replace('-', '_')}" for name in outputs(ending)}
        lines = [f"{names[name]}={' '.join(value.split())}\n" for name, value in outputs(ending).items()]
        Path("modelflight.env").write_text("".join(lines), encoding="utf-8")
        Path("modelflight.md").write_text(summary(ending), encoding="utf-8")


def this_system() -> System:
    """The CI system that this process runs in."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return GitHub()
    return GitLab() if os.environ.get("GITLAB_CI") == "true" else System()


def outputs(ending: Ending) -> dict[str, str]:
    """What later steps and jobs can read."""
    return {
        "verdict": str(ending.verdict or ""),
        "digest": ending.digest,
        "commit": ending.fleet_commit,
        "run-url": ending.page,
        "release-id": ending.release_id,
    }


def annotations(ending: Ending, folder: str) -> list[tuple[dict[str, str], str]]:
    """What went wrong, each with the file and line where it is known; `folder` goes before files' names."""
    if ending.error is None:
        return [({}, ending.reasons or ending.outcome)] if ending.exit_code else []
    error: ModelflightError = ending.error
    problems = [found for line in error.why.splitlines() if (found := _PROBLEM.fullmatch(line))]
    if problems:
        return [(_place(found, folder), found["message"]) for found in problems]
    message = "\n".join(part for part in (error.what, error.why, error.next_step) if part)
    found = _PLACE.fullmatch(error.where)
    return [(_place(found, folder) if found else {}, message)]


def _place(found: re.Match[str], folder: str) -> dict[str, str]:
    place = {"file": os.path.normpath(Path(folder, found["file"]))}
    return place | {"line": found["line"]} if found["line"] else place


def _command(name: str, data: str, properties: Mapping[str, str] | None = None) -> None:
    given = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in (properties or {}).items())
    click.echo(f"::{name}{' ' if given else ''}{given}::{_escaped(data)}")


def _escaped(value: str, more: str = "") -> str:
    return "".join(f"%{ord(sign):02X}" if sign in "%\r\n" + more else sign for sign in value)


def _assigned(values: Mapping[str, str]) -> str:
    end = secrets.token_hex(16)  # nobody can know it, and so write further assignments
    return "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in values.items())


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def _section(event: str, header: str = "") -> None:
    click.echo(f"\x1b[0Ksection_{event}:{int(time.time())}:modelflight\r\x1b[0K{header}", color=True)

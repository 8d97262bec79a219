"""The demonstration: an example notebook repository, two releases of it, and a report."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from deployments import console
from deployments.prefect_run import run_release
from flows.settings import Home
from tasks.errors import InvalidInput
from tasks.files import write_atomically
from tasks.gate.decide import describe
from tasks.git import git_at, reaching
from tasks.release import Release
from tasks.report.page import render_report

_INFRA = Path(__file__).parent.parent / "infra"
_FIRST = "Tell three cultivars of wine apart"
_SECOND = "Grow more and deeper trees"
_REPORT = "report.html"


def run_demo(keep: Path | None, output: str) -> None:
    """Releases the example twice and shows what happened.

    Everything is made in `keep`, where a second demonstration goes on with what it finds, or in a temporary
    folder of which only the report stays.
    """
    folder = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="modelflight-demo-"))
    _check(folder)
    os.environ["MODELFLIGHT_HOME"] = str(folder / "home")
    os.environ.setdefault("PREFECT_HOME", str(folder / "prefect"))
    notebooks = folder / "notebooks.git"
    _say("A notebook repository with the example, and a fleet repository that GitOps would apply")
    _make_repository(folder / "fleet.git", _INFRA / "fleet", "The fleet")
    first = _make_repository(notebooks, _INFRA / "example", _FIRST)
    _say("First release: the notebook as it was pushed")
    releases = [run_release(str(notebooks), first, None, 1)]
    _say(f"Second release: a change is pushed: {_SECOND!r}")
    second = _push(notebooks, _SECOND, _more_trees)
    releases.append(run_release(str(notebooks), second, None, 1))
    report = folder / _REPORT
    write_atomically(report, render_report(releases))
    if keep is None:
        _keep_only(report)
    document = {"report": str(report), "releases": console.plain(releases)}
    console.emit(document, _summary(releases, report, keep), output)


def _say(line: str) -> None:
    click.secho(line, bold=True, err=True)


def _check(folder: Path) -> None:
    foreign = folder.exists() and any(folder.iterdir()) and not (folder / "notebooks.git").exists()
    if foreign:
        raise InvalidInput(
            "The folder is not empty and holds no earlier demonstration.",
            where=str(folder),
            next_step="Name another folder with --keep.",
        )
    folder.mkdir(parents=True, exist_ok=True)


def _make_repository(bare: Path, template: Path, subject: str) -> str:
    if not (bare / "HEAD").exists():
        git_at(bare.parent).init("--quiet", "--bare", "--initial-branch=main", str(bare))
    return _push(bare, subject, lambda tree: shutil.copytree(template, tree, dirs_exist_ok=True))


def _push(bare: Path, subject: str, change: Callable[[Path], object]) -> str:
    """Commits `change` to the repository, as a person would with a clone, and returns the commit.

    A subject that was pushed before is not pushed again.
    """
    with tempfile.TemporaryDirectory(dir=bare.parent) as folder, reaching(str(bare), "The demo cannot push."):
        git = git_at(Path(folder))
        git.clone("--quiet", str(bare), folder)
        pushed = git.for_each_ref("refs/remotes") and git.log("--all", "--format=%H %s").splitlines()
        for line in pushed or ():
            if line.partition(" ")[2] == subject:
                return str(line.partition(" ")[0])
        change(Path(folder))
        git.update_environment(
            GIT_AUTHOR_NAME="Ada",
            GIT_AUTHOR_EMAIL="ada@example.com",
            GIT_COMMITTER_NAME="Ada",
            GIT_COMMITTER_EMAIL="ada@example.com",
        )
        git.add("--all")
        git.commit("--quiet", "--message", subject)
        git.push("--quiet", "origin", "HEAD:refs/heads/main")
        return str(git.rev_parse("HEAD"))


def _more_trees(tree: Path) -> None:
    settings = tree / "modelflight.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("{trees: 10, depth: 2}", "{trees: 100, depth: 3}"), encoding="utf-8")


def _keep_only(report: Path) -> None:
    for path in report.parent.iterdir():
        if path != report:
            shutil.rmtree(path, ignore_errors=True)


def _summary(releases: list[Release], report: Path, keep: Path | None) -> str:
    lines = []
    for release in releases:
        subject = f"  ({release.source.subject})" if release.source else ""
        lines += ["", f"{release.release_id}: {release.verdict}{subject}"]
        lines += [f"  notebook  {release.source.commit}"] if release.source else []
        if release.image and release.fleet_commit:
            lines += [f"  image     {release.image.digest}", f"  fleet     {release.fleet_commit.commit}"]
        lines += console.columns(describe(release.decision)) if release.decision else []
    lines += ["", f"Report: {report}"]
    if keep:
        prefect = Path(sys.executable).with_name("prefect")
        lines += [
            f"Images: {Home().path / 'images'}",
            f"Prefect's pages: PREFECT_HOME={os.environ['PREFECT_HOME']} {prefect} server start",
        ]
    return "\n".join(lines)

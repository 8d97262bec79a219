"""A notebook repository at one commit, as a folder of this machine."""

import errno
import json
import os
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.address import check_address, redact
from tasks.errors import CommitNotFound, InvalidInput, ModelflightError
from tasks.files import write_atomically
from tasks.git import git_at, partial, reaching
from tasks.release import CommitSha, Source

if TYPE_CHECKING:
    from git import Git


def check_out(address: str, revision: str, sources: Path) -> Source:
    """The repository at `address` as of `revision` (a commit, branch or tag), in `sources/<commit>`.

    A commit that was checked out before is not fetched again.

    Raises:
        AddressInvalid: the address is malformed or carries a credential.
        CommitNotFound: the repository has no such commit, branch or tag, or no commit at all.
        RepositoryUnreachable: Git could not read the repository.
        RepositoryRefused: there is no such repository, or not for this credential.
        InvalidInput: the commit's date lies beyond the year 9999.
        ModelflightError: Git left files of the commit out.
    """
    check_address(address, "the notebook repository")
    if re.fullmatch(CommitSha.pattern, revision) and (known := _known(address, CommitSha(revision), sources)):
        return known
    sources.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=sources, prefix=".clone-") as folder,
        reaching(address, "The notebook repository cannot be fetched."),
    ):
        clone = Path(folder, "clone")
        # The files are those of the commit on every machine, whatever its user likes as line ends.
        settings = ("--config", "core.autocrlf=false")
        git_at(sources).clone(
            "--no-checkout", *partial(address), "--quiet", *settings, "--", address, str(clone)
        )
        git = git_at(clone)
        commit = _resolve(git, address, revision)
        if known := _known(address, commit, sources):
            return known
        said = git.log("-1", "--no-show-signature", "--format=%ct%x00%s", commit)
        seconds, subject = said.encode("utf-8", "replace").decode().split("\0", 1)
        committed_at = _moment(seconds, address, commit).isoformat()
        git.checkout("--quiet", "--detach", commit)
        files = _files(git, commit)
        if missing := _missing(files, clone):
            raise _incomplete(address, commit, missing)
        shutil.rmtree(clone / ".git")
        target = sources / commit
        _place(clone, target, files)
    about = {"address": address, "committed_at": committed_at, "subject": subject}
    write_atomically(_marker(commit, sources), json.dumps(about))
    return Source(address, commit, datetime.fromisoformat(committed_at), subject, target)


def on_this_machine(source: Source) -> Source:
    """The same, its files here: they are fetched again where a release goes on on another machine.

    Raises:
        ModelflightError: see `check_out`.
    """
    return check_out(source.address, source.commit, source.directory.parent)


def _moment(seconds: str, address: str, commit: CommitSha) -> datetime:
    """The commit's time, of seconds since 1970 as Git prints them."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(
            "The commit's date cannot be used.",
            where=f"{redact(address)}, commit {commit}",
            why=f"It is {seconds or 'no number of'} seconds after 1970; the year 9999 is the last one.",
            next_step="Commit again on a machine whose clock is right.",
        ) from None


def _is_checked_out(git: "Git", commit: str) -> bool:
    """Whether a working copy stands at the commit, or after it, on no branch (a detached HEAD)."""
    status, _, _ = git.merge_base(
        "--is-ancestor", commit, "HEAD", with_extended_output=True, with_exceptions=False
    )
    return bool(status == 0)


def _files(git: "Git", commit: CommitSha) -> list[str]:
    listing = str(git.ls_tree("-r", "-z", "--name-only", "--full-tree", commit))
    return [name for name in listing.split("\0") if name]


def _missing(files: list[str], folder: Path) -> list[str]:
    return [name for name in files if not os.path.lexists(folder / name)]


def _incomplete(address: str, commit: CommitSha, missing: list[str]) -> ModelflightError:
    return ModelflightError(
        "Git did not check out all files of the commit.",
        where=f"{redact(address)}, commit {commit}",
        why=f"{len(missing)} are missing; {missing[0]!r} is the first.",
        next_step="Look in `git config --list` for hooks, or for a template with a sparse checkout.",
    )


def _place(clone: Path, target: Path, files: list[str]) -> None:
    """Gives the whole folder its name, unless another process was faster: its content is the same."""
    try:
        clone.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if _missing(files, target):  # somebody removed a part of it
            shutil.rmtree(target)
            clone.rename(target)


def _marker(commit: CommitSha, sources: Path) -> Path:
    """What is known of the commit beside its files; written last."""
    return sources / f"{commit}.json"


def _known(address: str, commit: CommitSha, sources: Path) -> Source | None:
    """What was checked out before, from the same address: that another has the commit is not known."""
    directory = sources / commit
    try:
        about = json.loads(_marker(commit, sources).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if about.get("address") != address or not directory.is_dir():
        return None
    return Source(address, commit, datetime.fromisoformat(about["committed_at"]), about["subject"], directory)


def _resolve(git: "Git", address: str, revision: str) -> CommitSha:
    from git.exc import GitCommandError

    # A clone has the repository's branches as remote-tracking ones.
    names = (f"refs/remotes/origin/{revision}", f"refs/tags/{revision}", revision)
    for name in names if revision.isprintable() else ():
        try:
            found = git.rev_parse("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except GitCommandError:
            continue
        # Some hosts hand out commits of forks and of deleted branches too, to whom names them.
        if git.for_each_ref("--count=1", f"--contains={found}") or _is_checked_out(git, found):
            return CommitSha(found)
    branches = git.for_each_ref("--format=%(refname:lstrip=3)", "refs/remotes/origin").split()
    others = ", ".join(branch for branch in branches if branch != "HEAD")
    raise CommitNotFound(
        f"There is no commit, branch or tag {revision!r}.",
        where=redact(address),
        why=f"No branch or tag leads to it. Branches: {others}."
        if others
        else "The repository has no commits yet.",
        next_step="Push it first, or name another: with --commit, or as the branch in its block.",
    )

"""A notebook repository at one commit, as a folder of this machine."""

import json
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.address import check_address, redact
from tasks.errors import CommitNotFound
from tasks.files import write_atomically
from tasks.git import git_at, reaching
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
        git_at(sources).clone("--no-checkout", "--filter=blob:none", "--quiet", "--", address, str(clone))
        git = git_at(clone)
        commit = _resolve(git, address, revision)
        if known := _known(address, commit, sources):
            return known
        seconds, subject = git.log("-1", "--format=%ct%x00%s", commit).split("\0", 1)
        git.checkout("--quiet", "--detach", commit)
        shutil.rmtree(clone / ".git")
        target = sources / commit
        # Only a whole folder gets this name; where another process was faster, its content is the same.
        if not target.exists():
            clone.rename(target)
    committed_at = datetime.fromtimestamp(int(seconds), UTC).isoformat()
    write_atomically(_marker(commit, sources), json.dumps({"committed_at": committed_at, "subject": subject}))
    return Source(address, commit, datetime.fromisoformat(committed_at), subject, target)


def _marker(commit: CommitSha, sources: Path) -> Path:
    """What is known of the commit beside its files; written last."""
    return sources / f"{commit}.json"


def _known(address: str, commit: CommitSha, sources: Path) -> Source | None:
    try:
        about = json.loads(_marker(commit, sources).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    committed_at = datetime.fromisoformat(about["committed_at"])
    return Source(address, commit, committed_at, about["subject"], sources / commit)


def _resolve(git: "Git", address: str, revision: str) -> CommitSha:
    from git.exc import GitCommandError

    # A clone has the repository's branches as remote-tracking ones.
    for name in (f"refs/remotes/origin/{revision}", f"refs/tags/{revision}", revision):
        try:
            return CommitSha(git.rev_parse("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"))
        except GitCommandError:
            continue
    raise CommitNotFound(
        f"There is no commit, branch or tag {revision!r}.",
        where=redact(address),
        why="The repository has no commits yet." if revision == "HEAD" else "",
        next_step="Push it first, or name another with --commit.",
    )

"""A branch of a notebook repository: its head, its commits, and what changed between two of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

from tasks.address import check_address, redact
from tasks.errors import CommitNotFound
from tasks.git import git_at, partial, reaching, said
from tasks.release import CommitSha

if TYPE_CHECKING:
    from git import Git

# Git itself waits without end for a server that says nothing more. In seconds.
_LONGEST_ANSWER = 60
_LONGEST_CLONE = 900


def head_of(address: str, branch: str) -> CommitSha:
    """The branch's newest commit, asked for without a clone.

    Raises:
        AddressInvalid: the address is malformed or carries a credential.
        CommitNotFound: there is no such branch; `why` names those that there are.
        RepositoryUnreachable: Git could not read the repository.
        RepositoryRefused: there is no such repository, or not for this credential.
    """
    check_address(address, "the notebook repository")
    with reaching(address, "The notebook repository cannot be reached."):
        git = git_at(Path(gettempdir()))  # in a repository its settings would count
        ref = f"refs/heads/{branch}"
        # Servers take the name for a pattern: refs/heads/main would also find refs/heads/x/refs/heads/main.
        heads = _heads(git, address, ref)
        if ref in heads:
            return heads[ref]
        raise _no_branch(address, branch, _heads(git, address))


@contextmanager
def history(address: str, branch: str) -> Iterator["History"]:
    """The branch's commits, without the files in them, in a temporary folder that is gone afterwards.

    Raises:
        AddressInvalid: the address is malformed or carries a credential.
        CommitNotFound: there is no such branch; `why` names those that there are.
        RepositoryUnreachable: the clone, or what was read in the `with` block, failed.
        RepositoryRefused: there is no such repository, or not for this credential.
    """
    check_address(address, "the notebook repository")
    with (
        TemporaryDirectory(prefix="modelflight-history-") as name,
        reaching(address, "The notebook repository cannot be read."),
    ):
        folder = Path(name)
        bare = folder / "history.git"
        _clone(git_at(folder), address, branch, bare)
        git = git_at(bare)
        git.update_environment(GIT_DIR=str(bare))  # for those who set safe.bareRepository=explicit
        head = str(git.for_each_ref("--format=%(objectname)", f"refs/heads/{branch}"))
        if not head:  # it is a tag's name
            raise _no_branch(address, branch, _heads(git, address))
        yield History(git, folder, CommitSha(head))


@dataclass(frozen=True)
class Step:
    """A commit of the branch, the one that it was put upon (None: it is the first), and its whole message."""

    commit: CommitSha
    before: CommitSha | None
    message: str


@dataclass(frozen=True)
class History:
    """The clone; its methods let GitPython's errors through to `history`, which translates them."""

    git: "Git"
    folder: Path
    head: CommitSha

    @cached_property
    def commits(self) -> tuple[CommitSha, ...]:
        """All commits of the branch, each before its parents."""
        return tuple(map(CommitSha, str(self.git.rev_list("--topo-order", self.head)).split()))

    @cached_property
    def _known(self) -> frozenset[CommitSha]:
        # Asked about a single commit that it lacks, a partial clone would fetch it, and some hosts hand out
        # commits of forks too; so the listing answers.
        return frozenset(self.commits)

    def contains(self, commit: str) -> bool:
        """Whether the branch has the commit; not so after a force push that dropped it."""
        return commit in self._known

    def since(self, old: CommitSha) -> list["Step"]:
        """What was put upon the branch after the commit, oldest first; of a merge, the merge alone."""
        log = self.git.log(
            *("-z", "--reverse", "--first-parent", "--no-show-signature", "--format=%H%n%P%n%B"),
            f"{old}..{self.head}",
        )
        records = (record.split("\n", 2) for record in str(log).split("\0") if record)
        return [
            Step(CommitSha(commit), CommitSha(parents.split()[0]) if parents else None, message.strip())
            for commit, parents, message in records
        ]

    def changed_files(self, old: CommitSha, new: CommitSha) -> frozenset[str]:
        """The files that differ between two commits of the branch; one that was renamed, under both names."""
        listing = self.git.diff_tree("-r", "-z", "--name-only", "--no-renames", old, new)
        return frozenset(name for name in str(listing).split("\0") if name)

    def message(self, commit: CommitSha) -> str:
        """The commit's whole message."""
        return str(self.git.log("-1", "--no-show-signature", "--format=%B", commit)).strip()

    def read(self, commit: CommitSha, path: str) -> str | None:
        """The file's text at a commit of the branch, as links within the repository lead to it.

        None where there is none, and where it is no UTF-8.
        """
        asked = self.folder / "asked"
        asked.write_text(f"{commit}:{path}\n", encoding="utf-8")
        with asked.open("rb") as names:
            answer = self.git.cat_file(
                *("--batch=%(objecttype) %(objectsize)", "--follow-symlinks"),
                istream=names,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        first_line, _, content = bytes(answer).partition(b"\n")
        found = re.fullmatch(rb"blob (\d+)", first_line)  # else: missing, dangling, a folder
        try:
            return content[: int(found[1])].decode("utf-8-sig") if found else None
        except UnicodeDecodeError:
            return None


def _clone(git: "Git", address: str, branch: str, bare: Path) -> None:
    from git.exc import GitCommandError

    try:
        git.clone(
            "--no-local",  # copying a local repository's files while somebody pushes to it can fail
            *("--quiet", "--bare", *partial(address), "--single-branch", "--no-tags"),
            *(f"--branch={branch}", "--", address, str(bare)),
            kill_after_timeout=_LONGEST_CLONE,
        )
    except GitCommandError as error:
        if "Remote branch" in said(error) and "not found" in said(error):
            raise _no_branch(address, branch, _heads(git, address)) from None
        raise


def _heads(git: "Git", address: str, *patterns: str) -> dict[str, CommitSha]:
    """Branches of the repository, by their whole names."""
    answer = git.ls_remote("--quiet", "--heads", "--", address, *patterns, kill_after_timeout=_LONGEST_ANSWER)
    lines = str(answer).splitlines()
    return {ref: CommitSha(sha) for sha, ref in (line.split("\t", 1) for line in lines)}


def _no_branch(address: str, branch: str, heads: dict[str, CommitSha]) -> CommitNotFound:
    names = ", ".join(ref.removeprefix("refs/heads/") for ref in heads)
    return CommitNotFound(
        f"The notebook repository has no branch {branch!r}.",
        where=redact(address),
        why=f"Branches: {names}." if names else "The repository has no branches yet.",
        next_step="Push the branch, or correct it in the registration.",
    )

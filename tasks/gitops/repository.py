"""A bare, partial clone of the fleet repository: read at a commit, write a commit, push it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.errors import FleetRefused, FleetTargetInvalid
from tasks.git import git_at, partial, reaching, said, spoken, unreachable
from tasks.gitops.message import RELEASE_ID
from tasks.gitops.push import Outcome, outcome, refusal
from tasks.gitops.target import FleetTarget
from tasks.release import CommitSha, ReleaseId

if TYPE_CHECKING:
    from git import Git

_SUFFIXES = (".yaml", ".yml")
# The user's settings for colours, prefixes and tools would change what a diff looks like.
_DIFF = (
    *("--diff-merges=first-parent", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/"),
    *("--no-color", "--no-ext-diff", "--no-textconv"),
)


@contextmanager
def cloned(target: FleetTarget) -> Iterator["FleetRepository"]:
    """The target's branch in a temporary directory that is gone afterwards.

    Raises:
        FleetTargetInvalid: there is no such branch.
        RepositoryUnreachable: the clone, or a git command in the `with` block, failed.
        RepositoryRefused: there is no such repository, or not for this credential.
    """
    with (
        TemporaryDirectory(prefix="modelflight-fleet-") as name,
        reaching(target.address, "The fleet repository could not be read."),
    ):
        directory = Path(name)
        bare = directory / "fleet.git"
        _clone(git_at(directory), target, bare)
        git = git_at(bare)
        # Named for those who set safe.bareRepository=explicit; and folder names are no patterns.
        git.update_environment(GIT_DIR=str(bare), GIT_LITERAL_PATHSPECS="1")
        git.update_environment(GIT_INDEX_FILE=str(directory / "index"))
        repository = FleetRepository(git, target, directory)
        if not repository.head():
            raise _no_branch(target)
        yield repository


@dataclass(frozen=True)
class FleetRepository:
    """The clone; its methods let GitPython's errors through to `cloned`, which translates them."""

    git: "Git"
    target: FleetTarget
    directory: Path

    def head(self) -> str:
        """The branch's newest commit as of the last clone or refresh; empty without such a branch."""
        return str(self.git.for_each_ref("--format=%(objectname)", self.target.ref))

    def refresh(self) -> None:
        """Fetches what reached the branch since."""
        branch = f"+{self.target.ref}:{self.target.ref}"
        self.git.fetch("--quiet", "--no-tags", "--no-recurse-submodules", "origin", branch)

    def files(self, commit: str) -> list[str]:
        """All files at or below the target's path."""
        listing = self.git.ls_tree(
            "-r", "-z", "--name-only", "--full-tree", commit, "--", *self.target.pathspec
        )
        return [name for name in str(listing).split("\0") if name]

    def manifests(self, commit: str) -> list[str]:
        """The YAML files at or below the target's path."""
        return [name for name in self.files(commit) if name.endswith(_SUFFIXES)]

    def carriers(self, commit: str) -> list[str]:
        """The manifests that have the image's text anywhere."""
        # Searching a partial clone would fetch each missing file alone; a diff fetches them all at once.
        empty = self.git.hash_object("-w", "-t", "tree", "--stdin")
        self.git.diff_tree("-r", "--numstat", empty, commit, "--", *self.target.pathspec)
        status, found, stderr = self.git.grep(
            *("--no-color", "--files-with-matches", "-z", "--fixed-strings", "-e", self.target.image),
            *(commit, "--", *self.target.pathspec),
            with_extended_output=True,
            with_exceptions=False,
        )
        if status > 1:  # 1: nothing matches
            raise unreachable(self.target.address, "The fleet repository could not be searched.", stderr)
        names = (name.removeprefix(f"{commit}:") for name in str(found).split("\0"))
        return [name for name in names if name.endswith(_SUFFIXES)]

    def read(self, commit: str, file: str) -> bytes:
        """The file's bytes at the commit."""
        content = self.git.cat_file(
            "blob", f"{commit}:{file}", stdout_as_string=False, strip_newline_in_stdout=False
        )
        return bytes(content)

    def released(self, release_id: ReleaseId) -> list[CommitSha]:
        """The branch's commits below the path with the trailer `Release-Id: <release_id>`, oldest first."""
        log = self.git.log(
            *("--reverse", "--full-history", "--min-parents=1", "--no-follow", "--no-show-signature"),
            *("--fixed-strings", f"--grep={RELEASE_ID}: {release_id}"),
            f"--format=%H %(trailers:key={RELEASE_ID},valueonly,separator=%x20)",
            *(self.target.ref, "--", *self.target.pathspec),
        )
        found = (line.split() for line in str(log).splitlines())
        return [CommitSha(sha) for sha, *values in found if release_id in values]

    def release_ids(self) -> list[str]:
        """The values of all `Release-Id` trailers of the branch's commits below the path, newest first."""
        log = self.git.log(
            *("--full-history", "--no-follow", "--no-show-signature"),
            f"--format=%(trailers:key={RELEASE_ID},valueonly)",
            *(self.target.ref, "--", *self.target.pathspec),
        )
        return str(log).split()

    def trailers(self, commit: str) -> dict[str, str]:
        """The trailers of the commit's message, by their keys."""
        log = self.git.log(
            *("-1", "--no-show-signature", "--format=%(trailers:only,unfold)", commit),
        )
        pairs = (line.partition(": ") for line in str(log).splitlines())
        return {key: value for key, _, value in pairs}

    def last_change(self, file: str) -> CommitSha:
        """The newest commit of the branch that changed the file."""
        return CommitSha(
            self.git.log("-1", "--format=%H", "--no-show-signature", self.target.ref, "--", file)
        )

    def diff(self, commit: CommitSha, file: str) -> str:
        """What the commit changed in the file, as a unified diff."""
        shown = self.git.show(
            *("--format=", "--no-show-signature", *_DIFF, commit, "--", file),
            stdout_as_string=False,
            strip_newline_in_stdout=False,
        )
        return bytes(shown).decode("utf-8", "replace")

    def commit(self, parent: str, file: str, content: bytes, message: str) -> CommitSha:
        """Writes a commit on top of `parent` that differs in one file's content; nothing is pushed."""
        blob, text = self.directory / "blob", self.directory / "message"
        blob.write_bytes(content)
        text.write_text(message, encoding="utf-8", newline="\n")
        mode = str(self.git.ls_tree("--full-tree", parent, "--", file)).split(" ", 1)[0]
        # No filters: the user's line-ending settings must not touch the bytes.
        written = self.git.hash_object("-w", "--no-filters", "--", str(blob))
        self.git.read_tree(parent)
        self.git.update_index("--cacheinfo", f"{mode},{written},{file}")
        tree = self.git.write_tree("--missing-ok")  # without it, a partial clone fetches all neighbours
        identity = self._identity("AUTHOR") | self._identity("COMMITTER")
        return CommitSha(str(self.git.commit_tree(tree, "-p", parent, "-F", str(text), env=identity)))

    def check_push(self) -> None:
        """Raises as `push` does unless the branch may be pushed to; pushes nothing."""
        self._push("--dry-run", f"{self.target.ref}:{self.target.ref}")

    def push(self, commit: CommitSha) -> bool:
        """Whether the commit is on the branch now; false when another one got there first.

        Raises:
            FleetRefused: the server does not take it; `why` has the hook's message.
            RepositoryUnreachable: the connection failed; the push may have landed.
            RepositoryRefused: the repository is gone, or not there for this credential.
        """
        return self._push(f"{commit}:{self.target.ref}") is Outcome.LANDED

    def _push(self, *arguments: str) -> Outcome:
        status, porcelain, stderr = self.git.push(
            *("--porcelain", "--no-follow-tags", "--no-recurse-submodules", *arguments[:-1]),
            *("origin", arguments[-1]),
            with_extended_output=True,
            with_exceptions=False,
        )
        match outcome(status, porcelain, stderr):
            case Outcome.UNKNOWN:
                raise unreachable(self.target.address, "The bump could not be pushed.", stderr)
            case Outcome.REFUSED:
                raise FleetRefused(
                    "The fleet repository does not accept the bump.",
                    where=self.target.where,
                    why=spoken(refusal(porcelain, stderr)),
                    next_step="Allow the credential that pushes to write to this branch, or correct what its "
                    "hook asks for.",
                )
            case result:
                return result

    def _identity(self, role: str) -> dict[str, str]:
        """Environment that names us in the role of AUTHOR or COMMITTER, where nobody is configured."""
        configured, _, _ = self.git.execute(
            # Without this Git makes up user@host, which says nothing on a worker.
            [self.git.GIT_PYTHON_GIT_EXECUTABLE, "-c", "user.useConfigOnly=true", "var", f"GIT_{role}_IDENT"],
            with_extended_output=True,
            with_exceptions=False,
        )
        if configured == 0:
            return {}
        return {f"GIT_{role}_NAME": "Modelflight", f"GIT_{role}_EMAIL": "modelflight@localhost"}


def _clone(git: "Git", target: FleetTarget, bare: Path) -> None:
    from git.exc import GitCommandError

    try:
        git.clone(
            "--no-local",  # copying a local repository's files while somebody pushes to it can fail
            *("--quiet", "--bare", *partial(target.address), "--single-branch", "--no-tags"),
            *(f"--branch={target.branch}", "--", target.address, str(bare)),
        )
    except GitCommandError as error:
        if "Remote branch" in said(error) and "not found" in said(error):
            raise _no_branch(target) from None
        raise


def _no_branch(target: FleetTarget) -> FleetTargetInvalid:
    return FleetTargetInvalid(
        "The fleet repository has no such branch.",
        where=target.where,
        why=f"There is no branch {target.branch!r}; tags do not count.",
        next_step="Correct fleet.branch, or create the branch.",
    )

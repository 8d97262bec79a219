"""The working copy that a release is started from, as its owner sees it."""

from pathlib import Path

from tasks.errors import InvalidInput
from tasks.git import git_at


def top_level(path: Path) -> Path:
    """The top of the working copy that the folder `path` lies in; `path` itself in a bare repository.

    Raises:
        InvalidInput: Git takes it for neither.
    """
    git = git_at(path)
    status, bare, complaint = git.rev_parse(
        "--is-bare-repository", with_extended_output=True, with_exceptions=False
    )
    if status != 0:
        raise InvalidInput(
            "The folder is no Git repository, and in none.",
            where=str(path.resolve()),
            why=str(complaint).strip(),
            next_step="Name the notebook repository: a folder in it, or its address.",
        )
    return path.resolve() if bare == "true" else Path(git.rev_parse("--show-toplevel"))


def is_unpushed(path: Path, commit: str) -> bool:
    """Whether no branch of a remote has `commit`, as far as is known here; never where there is no remote."""
    git = git_at(path)
    if not git.remote():
        return False
    status, found, _ = git.for_each_ref(
        "--count=1", f"--contains={commit}", "refs/remotes", with_extended_output=True, with_exceptions=False
    )
    return status == 0 and not found


def uncommitted(path: Path) -> list[str]:
    """Files of the working copy whose content no commit has; none in a bare repository or another folder."""
    status, listed, _ = git_at(path).status(
        "--porcelain", "-z", with_extended_output=True, with_exceptions=False
    )
    return [entry[3:] for entry in str(listed).split("\0") if entry[3:]] if status == 0 else []

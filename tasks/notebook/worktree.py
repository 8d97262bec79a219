"""The working copy that a release is started from, as its owner sees it."""

from pathlib import Path

from tasks.git import git_at


def top_level(path: Path) -> Path:
    """The top of the working copy that `path` lies in; `path` itself where it lies in none."""
    status, top, _ = git_at(path).rev_parse(
        "--show-toplevel", with_extended_output=True, with_exceptions=False
    )
    return Path(top) if status == 0 and top else path.resolve()


def uncommitted(path: Path) -> list[str]:
    """Files of the working copy whose content no commit has; none in a bare repository or another folder."""
    status, listed, _ = git_at(path).status(
        "--porcelain", "-z", with_extended_output=True, with_exceptions=False
    )
    return [entry[3:] for entry in str(listed).split("\0") if entry[3:]] if status == 0 else []

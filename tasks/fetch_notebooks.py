"""Fetches the notebook repository at the commit that is to be released."""

from pathlib import Path

from tasks.notebook.checkout import check_out
from tasks.release import Source
from tasks.step import step


@step(
    "fetch notebooks",
    lambda source: f"{source.commit[:12]} {source.subject!r} of {source.address}",
    timeout_seconds=600,
)
def fetch_notebooks(address: str, revision: str, sources: Path) -> Source:
    """The repository at `address`, checked out at `revision` (a commit, branch or tag) below `sources`."""
    return check_out(address, revision, sources)

"""Files with secrets in them."""

from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Writes a file that only this user may read, in folders that are made where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)

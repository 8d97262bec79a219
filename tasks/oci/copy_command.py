"""The copy command that a model image carries, and the list that it copies by (infra/copy/README.md)."""

import re
from collections.abc import Iterable
from importlib import resources

from tasks.errors import PackFailed
from tasks.fault import readable

_TEMPORARY = re.compile(r"(.*/)?\.modelflight-copy\.[0-9a-f]{16}", re.DOTALL)


def binary(architecture: str) -> bytes:
    """The static program for linux on `architecture`, in OCI's names: amd64 or arm64.

    Raises:
        PackFailed: this installation has no such program.
    """
    name = f"modelflight-copy-{architecture}"
    try:
        return (resources.files("infra") / "copy" / "bin" / name).read_bytes()
    except FileNotFoundError as error:
        raise PackFailed(
            f"The copy command of model images for {architecture} is missing.",
            f"infra/copy/bin/{name}",
            "it is built when Modelflight is installed, and is not there any more, or never was",
            "Install Modelflight again; in a checkout, run: uv sync --reinstall-package modelflight",
        ) from error


def listing(files: Iterable[tuple[str, str]]) -> bytes:
    """The list of `files` as `sha256sum --binary` writes it, sorted by the bytes of the names.

    Args:
        files: names below the model's folder, with '/' between their parts, each with the SHA-256 of the
            file's content in lowercase hexadecimal.

    Raises:
        PackFailed: a name is one that the copy command gives to temporary files, and takes away again.
    """
    return b"".join(_line(name, sha256) for name, sha256 in sorted(files))  # code points sort as UTF-8 does


def _line(name: str, sha256: str) -> bytes:
    if _TEMPORARY.fullmatch(name):
        raise PackFailed(
            "The model holds a temporary file of the copy command.",
            readable(name),
            "a copy that was killed left it, or it has the name of such a file",
            "Remove or rename the file, and pack again.",
        )
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{sha256} *{escaped}\n".encode()

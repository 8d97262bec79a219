"""A folder on this machine as an artifact: what it holds, and the SHA-256 of each file."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tasks.artifact import Artifact, ArtifactFile
from tasks.errors import ArtifactFailed
from tasks.fault import readable, reported

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}
_READABLE = "Make the model's files readable for this user, and run this again."


def scan(directory: Path) -> Artifact:
    """The artifact of the files and folders below `directory`, sorted by their paths; each file is read once.

    Raises:
        ArtifactFailed: there is no file, or something that is neither a file nor a folder.
    """
    # Paths are bytes while they are walked: text would depend on the locale's encoding.
    top = os.fsencode(directory.absolute())
    with reported(ArtifactFailed, "The model's folder cannot be read.", top, _READABLE):
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise NotADirectoryError(None, "it is not a folder")
        entries = sorted(_walk(top))
        files = tuple(_file(top, path) for path, is_folder in entries if not is_folder)
    if not files:
        raise ArtifactFailed(
            "There is no model.",
            readable(top),
            "the folder holds no file",
            "Save the model there in the notebook's last step.",
        )
    folders = tuple(path.decode() for path, is_folder in entries if is_folder)
    return Artifact(directory.absolute().as_uri(), files, folders)


def _walk(top: bytes) -> Iterator[tuple[bytes, bool]]:
    """The path of each file and folder, and whether it is a folder."""
    folders = [b""]  # not recursive: a path may hold more folders than Python's recursion limit
    while folders:
        folder = folders.pop()
        with os.scandir(top + b"/" + folder) as found:
            for item in found:
                is_folder = item.is_dir(follow_symlinks=False)
                _check(item, is_folder)
                if is_folder:
                    folders.append(folder + item.name + b"/")
                yield folder + item.name, is_folder


def _check(item: os.DirEntry[bytes], is_folder: bool) -> None:
    """Raises ArtifactFailed for what no store can hold as it is."""
    if not (is_folder or item.is_file(follow_symlinks=False)):
        kind = _KINDS.get(stat.S_IFMT(item.stat(follow_symlinks=False).st_mode), "no regular file")
        raise _refused(item.path, f"it is {kind}", "Put a copy of the file itself there, or leave it out.")
    try:
        item.name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(item.path, "its name is not valid UTF-8", "Rename the file.") from error


def _refused(path: bytes, why: str, next_step: str) -> ArtifactFailed:
    return ArtifactFailed("The model holds something that cannot be kept.", readable(path), why, next_step)


def _file(top: bytes, path: bytes) -> ArtifactFile:
    # A link or a pipe may have taken the file's place by now.
    handle = os.open(top + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256")
        return ArtifactFile(path.decode(), file.tell(), sha256.hexdigest())

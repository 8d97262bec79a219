import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.artifact import Artifact, ArtifactFile
from tasks.artifacts.scan import scan
from tasks.errors import ArtifactFailed


def test_lists_files_with_their_content_and_all_folders_by_the_bytes_of_their_paths(tmp_path: Path) -> None:
    for name in ("é", "b/x", "z", "b.txt", "b/B", "C"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "nothing").mkdir()
    artifact = scan(tmp_path)
    assert artifact.files == tuple(
        ArtifactFile(name, len(name.encode()), hashlib.sha256(name.encode()).hexdigest())
        for name in ("C", "b.txt", "b/B", "b/x", "z", "é")
    )
    assert artifact.folders == ("b", "nothing")
    assert artifact.address == tmp_path.as_uri()


def link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's address is at most 108 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize(
    ("name", "make", "why"),
    [
        (b"link", link, "a symbolic link"),
        (b"pipe", os.mkfifo, "a named pipe"),
        (b"socket", listen, "a socket"),
        (b"caf\xe9", Path.touch, "not valid UTF-8"),
        (b"dir\xff", Path.mkdir, "not valid UTF-8"),
    ],
)
def test_refuses_what_no_store_can_hold(
    tmp_path: Path, name: bytes, make: Callable[[Path], None], why: str
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "good").touch()
    make(tmp_path / "sub" / os.fsdecode(name))
    with pytest.raises(ArtifactFailed) as refused:
        scan(tmp_path)
    assert why in refused.value.why
    assert refused.value.where == f"{tmp_path}/sub/{name.decode('utf-8', 'backslashreplace')}"
    str(refused.value).encode()  # can be printed whatever the name
    assert refused.value.next_step


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "only folders"])
def test_refuses_a_folder_without_a_model(tmp_path: Path, kind: str) -> None:
    directory = tmp_path / "model"
    match kind:
        case "file":
            directory.touch()
        case "empty":
            directory.mkdir()
        case "only folders":
            (directory / "sub").mkdir(parents=True)
    with pytest.raises(ArtifactFailed) as refused:
        scan(directory)
    assert str(directory) in refused.value.where
    assert refused.value.why


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a/", "a\0b"])
def test_no_artifact_has_a_path_that_leads_out_of_it(path: str) -> None:
    with pytest.raises(ValueError, match="no path below"):
        ArtifactFile(path, 1, "0" * 64)
    with pytest.raises(ValueError, match="no path below"):
        Artifact("s3://bucket/model", (), (path,))

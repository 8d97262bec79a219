"""An artifact is read as it was listed, or not at all, wherever it is stored."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.artifacts.reading import reading, write_files
from tasks.artifacts.scan import scan
from tasks.errors import ArtifactFailed


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def shrink(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"y" + path.read_bytes()[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def become_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("alter", [grow, shrink, change, Path.unlink, become_a_link, become_a_pipe])
def test_a_file_that_is_not_what_was_listed_is_found_out(
    tmp_path: Path, alter: Callable[[Path], None]
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 1000)
    artifact = scan(tmp_path)
    alter(path)
    pieces: list[bytes] = []
    with reading(artifact) as read, pytest.raises(ArtifactFailed) as refused:
        pieces.extend(read(artifact.files[0]))
    assert sum(map(len, pieces)) <= 1000
    assert str(path) in refused.value.where
    assert refused.value.why
    assert refused.value.next_step


@pytest.mark.parametrize("length", [3 << 20, (3 << 20) + 1, (3 << 20) - 1])
def test_a_file_that_is_written_while_it_is_read_is_found_out(tmp_path: Path, length: int) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(3 << 20))
    artifact = scan(tmp_path)
    with reading(artifact) as read:
        pieces = read(artifact.files[0])
        next(pieces)
        path.write_bytes(b"y" * length)
        with pytest.raises(ArtifactFailed, match="changed after it was listed"):
            list(pieces)


def test_reads_in_small_pieces(tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(5 << 20)
    artifact = scan(tmp_path)
    with reading(artifact) as read:
        assert max(map(len, read(artifact.files[0]))) == 1 << 20
    assert stat.S_ISREG((tmp_path / "weights").stat().st_mode)


def test_an_artifact_is_written_into_a_folder_as_it_was(tmp_path: Path) -> None:
    model, copied = tmp_path / "model", tmp_path / "copied"
    (model / "deep" / "empty").mkdir(parents=True)
    (model / "weights").write_bytes(b"1" * 3_000_000)
    (model / "deep" / "größe").write_bytes(b"")
    artifact = scan(model)
    write_files(artifact, copied)
    found = scan(copied)
    assert [(file.path, file.sha256) for file in found.files] == [
        (file.path, file.sha256) for file in artifact.files
    ]
    assert found.folders == artifact.folders
    change(model / "weights")
    with pytest.raises(ArtifactFailed):
        write_files(artifact, tmp_path / "again")

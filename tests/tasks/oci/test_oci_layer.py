import io
import os
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import PackFailed
from tasks.oci.layer import Entry, scan, stream


def tar_of(directory: Path) -> bytes:
    return b"".join(stream(directory, scan(directory)))


def members_of(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        return archive.getmembers()


def test_holds_every_file_under_models_with_its_content(model: Path, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(model)), mode="r:") as archive:
        found = {
            member.name: None if (file := archive.extractfile(member)) is None else file.read()
            for member in archive.getmembers()
        }
    wanted = {
        f"models/{path.relative_to(model)}": None if path.is_dir() else path.read_bytes()
        for path in model.rglob("*")
    }
    assert found == {"models": None, **wanted}


def test_headers_say_nothing_about_the_machine(model: Path) -> None:
    for path in model.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1e9, 1e9))
    for member in members_of(tar_of(model)):
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
        assert member.mode == (0o755 if member.isdir() else 0o644)


def test_is_sorted_by_the_bytes_of_the_path_and_folders_come_before_their_content(tmp_path: Path) -> None:
    for name in ("é", "b/x", "z", "b.txt", "b/B", "C"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [member.name for member in members_of(tar_of(tmp_path))]
    assert names == ["models", *(f"models/{name}" for name in ("C", "b", "b.txt", "b/B", "b/x", "z", "é"))]


def test_keeps_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nothing").mkdir()
    assert "models/nothing" in [member.name for member in members_of(tar_of(tmp_path))]


def test_a_file_of_nine_gibibytes_has_its_size_in_the_header() -> None:
    size = 9 << 30
    pieces = stream(Path("/nowhere"), [Entry(b"weights", size)])
    next(pieces)
    header = tarfile.TarInfo.frombuf(next(pieces), "utf-8", "strict")
    assert (header.name, header.size) == ("models/weights", size)


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
        (b".wh.weights", Path.touch, "deletes"),
    ],
)
def test_refuses_what_an_image_cannot_carry(
    tmp_path: Path, name: bytes, make: Callable[[Path], None], why: str
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "good").touch()
    make(tmp_path / "sub" / os.fsdecode(name))
    with pytest.raises(PackFailed) as refused:
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
    with pytest.raises(PackFailed) as refused:
        scan(directory)
    assert str(directory) in refused.value.where
    assert refused.value.why


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def shrink(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def remove(path: Path) -> None:
    path.unlink()


def become_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [grow, shrink, remove, become_a_link, become_a_pipe])
def test_notices_a_file_that_changed_after_the_scan(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 1000)
    entries = scan(tmp_path)
    change(path)
    with pytest.raises(PackFailed) as refused:
        list(stream(tmp_path, entries))
    assert refused.value.where == str(path)


@pytest.mark.parametrize("length", [3 << 20, (3 << 20) + 1, (3 << 20) - 1])
def test_notices_a_file_that_is_written_while_it_is_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(3 << 20))
    os.utime(path, (0, 0))
    pieces = stream(tmp_path, scan(tmp_path))
    while len(next(pieces)) < 1 << 20:
        pass
    path.write_bytes(b"y" * length)
    with pytest.raises(PackFailed, match="changed while it was read"):
        list(pieces)


def test_reads_in_small_pieces(tmp_path: Path) -> None:
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(5 << 20)
    assert max(map(len, stream(tmp_path, scan(tmp_path)))) == 1 << 20
    assert stat.S_ISREG((tmp_path / "weights").stat().st_mode)

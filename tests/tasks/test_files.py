"""Files are whole or not there, whoever dies, fails or reads meanwhile; none is read from elsewhere."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.files import check_writable, read_inside, write_atomically

WRITER = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tasks import files
os.fsync = lambda _: os.kill(os.getpid(), 9)
files.write_atomically(Path(sys.argv[1]), "new" * 100_000)
"""


def test_the_text_is_written_with_its_folders_and_nothing_else(tmp_path):
    path = tmp_path / "a" / "b" / "file.json"
    write_atomically(path, "é\r\n")
    write_atomically(path, "\U0001f600\n")
    assert path.read_bytes() == "\U0001f600\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_text_and_no_other_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_text(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "old")
    top = str(Path(__file__).parents[2])
    assert subprocess.run([sys.executable, "-c", WRITER, str(path), top]).returncode == -9
    assert path.read_text() == "old"


def test_a_reader_never_meets_half_a_file(tmp_path):
    path = tmp_path / "file"
    texts = ["a" * 200_000, "b" * 100_000]
    write_atomically(path, texts[0])
    done = threading.Event()

    def write() -> None:
        for number in range(60):
            write_atomically(path, texts[number % 2])
        done.set()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while not done.is_set():
        assert path.read_text() in texts
    for writer in writers:
        writer.join()
    assert list(tmp_path.iterdir()) == [path]


def test_a_plain_file_is_read_and_a_link_inside_of_the_folder_followed(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("sub/../sub/file")
    (tmp_path / "alias").symlink_to("sub")
    for name in ("sub/file", "link", "alias/file"):
        assert read_inside(tmp_path, name, 5) == b"12345"
    assert read_inside(tmp_path / "alias", "file", 5) == b"12345"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/proc/self/environ", "leads out of the folder"),
        ("/dev/zero", "leads out of the folder"),
        ("../outside", "leads out of the folder"),
        ("folder/out", "leads out of the folder"),
        ("fifo", "no regular file"),
        ("folder", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("no/such", "No such file"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused_at_once(target, said, tmp_path):
    (tmp_path / "outside").write_text("secret")
    folder = tmp_path / "in"
    (folder / "folder").mkdir(parents=True)
    (folder / "folder" / "out").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    (folder / "name").symlink_to(target)
    with pytest.raises(OSError, match=said) as caught:
        read_inside(folder, "name", 100)
    assert caught.value.strerror


def test_a_folder_that_begins_with_the_same_name_is_outside(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").touch()
    (tmp_path / "in" / "name").symlink_to("../inner/file")
    with pytest.raises(PermissionError):
        read_inside(tmp_path / "in", "name", 100)


def test_a_larger_file_is_refused_with_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * (1024**2 + 1))
    with pytest.raises(OSError, match="larger than 1 MiB") as caught:
        read_inside(tmp_path, "file", 1024**2)
    assert caught.value.errno == errno.EFBIG
    assert len(read_inside(tmp_path, "file", 1024**2 + 1)) == 1024**2 + 1


def test_a_folder_that_is_there_or_can_be_made_is_writable_and_nothing_is_made(tmp_path: Path) -> None:
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/below", "file/far/below"])
def test_a_file_in_a_folders_place_is_not_writable(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as refused:
        check_writable(tmp_path / below)
    assert refused.value.filename == str(tmp_path / "file")

"""Files are whole or not there, whoever dies, fails or reads meanwhile."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.files import write_atomically

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

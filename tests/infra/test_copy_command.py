"""What infra/copy/README.md promises of the copy command, with the programs that were built."""

import fcntl
import os
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.infra.copying import NATIVE, Copying, ended

FAILED = 1

MODEL = {
    "model.joblib": bytes(range(256)) * 5000,
    "empty": b"",
    "with space": b"1",
    " leading and trailing ": b"2",
    "new\nline": b"3",
    "back\\slash and \\n": b"4",
    "carriage\rreturn": b"5",
    "größe-模型": b"6",
    "..hidden": b"7",
    "-dash": b"8",
    "sub/deeper/weights.bin": b"9" * 513,
    "sub-/a": b"10",
    "sub/z": b"11",
}
TEMPORARY = ".modelflight-copy.0123456789abcdef"


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*")}


def test_copies_every_listed_file_and_says_how_much(copying: Copying):
    copying.carry(MODEL)
    (copying.models / "not listed").write_bytes(b"0")
    size = sum(map(len, MODEL.values()))
    assert copying.run() == (0, f"copied 13 files, {size} bytes; 0 files were already there\n", "")
    assert copying.copied() == MODEL


def test_hashes_files_of_every_length_around_a_block_and_around_the_buffer(copying: Copying):
    sizes = [*range(130), (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_003]
    copying.carry({str(size): os.urandom(size) for size in sizes})
    assert copying.run()[0] == 0
    copied = copying.copied()
    assert sorted(map(len, copied.values())) == sizes


def test_modes_do_not_depend_on_the_umask(copying: Copying):
    copying.carry(MODEL)
    assert copying.run(umask=0o077)[0] == 0
    assert modes(copying.destination) == {(True, 0o755), (False, 0o644)}


def test_a_second_copy_keeps_what_is_there(copying: Copying):
    copying.carry(MODEL)
    assert copying.run()[0] == 0
    before = {path: path.stat() for path in copying.destination.rglob("*")}
    assert copying.run() == (0, "copied 0 files, 0 bytes; 13 files were already there\n", "")
    after = {path: path.stat() for path in copying.destination.rglob("*")}
    assert {path: (found.st_ino, found.st_mtime_ns) for path, found in before.items()} == {
        path: (found.st_ino, found.st_mtime_ns) for path, found in after.items()
    }


def test_goes_on_where_an_earlier_copy_ended(copying: Copying):
    copying.carry({"a": b"12", "b": b"345", "c": b"6"})
    (copying.destination / "b").write_bytes(b"345")
    assert copying.run() == (0, "copied 2 files, 3 bytes; 1 file was already there\n", "")


def test_what_is_there_needs_no_source(copying: Copying):
    copying.carry({"a": b"12"})
    (copying.models / "a").rename(copying.destination / "a")
    assert copying.run()[0] == 0


def test_replaces_a_wrong_file_at_once_and_leaves_files_that_are_not_listed(copying: Copying):
    copying.carry({"a": b"right", "sub/b": b"right"})
    (copying.destination / "sub").mkdir()
    for name in ("a", "sub/b", "other"):
        (copying.destination / name).write_bytes(b"wrong")
    with (copying.destination / "a").open("rb") as reader:
        assert copying.run()[0] == 0
        assert reader.read() == b"wrong"
    assert copying.copied() == {"a": b"right", "sub/b": b"right", "other": b"wrong"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_copy_and_leaves_no_temporary_file(copying: Copying, number: signal.Signals):
    copying.carry({"a": b"whole", "sub/b": b"never whole", "z": b"not begun"})
    process = copying.start_halfway("sub/b", b"begin")
    process.send_signal(number)
    assert ended(process) == (128 + number, "", "")
    assert copying.copied() == {"a": b"whole"}


def test_a_copy_after_a_killed_one_finishes_and_removes_its_temporary_file_alone(copying: Copying):
    model = {"a": b"1", "sub/b": b"2", "sub/c": b"3"}
    copying.carry(model)
    process = copying.start_halfway("sub/b", b"begin")
    process.kill()
    ended(process)
    (left,) = copying.copied().keys() - {"a"}
    assert left.startswith("sub/.modelflight-copy.")
    ours = f"sub/{TEMPORARY}"
    alike = [ours[:-1], f"{ours}0", f"{ours}g", f"{ours[:-1]}g", "sub/.modelflight-copy."]
    for name in alike:
        (copying.destination / name).write_bytes(b"")
    (copying.models / "sub" / "b").unlink()
    copying.carry(model)
    assert copying.run() == (0, "copied 2 files, 2 bytes; 1 file was already there\n", "")
    assert copying.copied() == model | dict.fromkeys(alike, b"")


def test_a_temporary_file_goes_also_where_every_file_is_there(copying: Copying):
    copying.carry({"sub/a": b"1"})
    assert copying.run()[0] == 0
    outside = copying.folder / "outside"
    outside.write_bytes(b"")
    (copying.destination / "sub" / TEMPORARY).symlink_to(outside)
    assert copying.run()[0] == 0
    assert [path.name for path in (copying.destination / "sub").iterdir()] == ["a"]
    assert outside.exists()


def test_waits_while_another_copy_into_the_same_destination_runs(copying: Copying):
    copying.carry({"a": b"1"})
    lock = os.open(copying.destination, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = copying.start()
    assert process.stderr is not None
    assert (
        process.stderr.readline()
        == f"modelflight-copy: waiting for another copy into {copying.destination}\n"
    )
    assert copying.copied() == {}
    (copying.models / "a").rename(copying.destination / "a")
    os.close(lock)
    assert ended(process) == (0, "copied 0 files, 0 bytes; 1 file was already there\n", "")


def test_a_file_size_limit_is_told_and_leaves_no_temporary_file(copying: Copying):
    copying.carry({"a": b"small", "b": b"large" * 10000})
    # 8 blocks of 512 bytes; the kernel's signal for this would end the program without a word.
    copying.fails(FAILED, f"cannot write {copying.destination}/b: File too large", limit="-f 8")
    assert copying.copied() == {"a": b"small"}


def test_somebody_without_rights_copies_into_a_folder_of_theirs(unprivileged):
    copying, somebody = unprivileged
    copying.carry(MODEL)
    assert copying.run(**somebody)[0] == 0
    assert copying.copied() == MODEL
    assert modes(copying.destination) == {(True, 0o755), (False, 0o644)}


def test_a_destination_without_permission_is_told(unprivileged):
    copying, somebody = unprivileged
    copying.carry({"a": b"1"})
    copying.destination.chmod(0o555)
    copying.fails(FAILED, f"cannot write {copying.destination}/a: Permission denied", **somebody)
    copying.carry({"sub/a": b"1"})
    copying.fails(FAILED, f"cannot write {copying.destination}/sub: Permission denied", **somebody)


def test_a_source_without_permission_is_told(unprivileged):
    copying, somebody = unprivileged
    copying.carry({"a": b"1"})
    (copying.models / "a").chmod(0o000)
    copying.fails(FAILED, f"cannot read {copying.models}/a: Permission denied", **somebody)
    assert copying.copied() == {}


def test_memory_does_not_grow_with_the_model(tmp_path: Path):
    copying = Copying(tmp_path, NATIVE)
    copying.carry({"a": bytes(32 << 20)})
    assert copying.run(limit="-v 2048")[0] == 0  # KiB of address space


def test_a_reader_that_went_away_does_not_fail_the_copy(copying: Copying):
    copying.carry({"a": b"1"})
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(copying.command, stdout=writing) as process:
        os.close(writing)
    assert process.returncode == 0
    assert copying.copied() == {"a": b"1"}


# Without carriage returns, which old versions of sha256sum do not escape, and "-", its standard input.
PARTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0\r"), min_size=1, max_size=30
).filter(lambda part: part not in {".", "..", "-"})


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(PARTS, st.binary(max_size=200), min_size=1, max_size=8), st.lists(PARTS, max_size=3))
def test_every_name_is_copied_and_is_read_by_sha256sum_too(files: dict[str, bytes], folders: list[str]):
    with tempfile.TemporaryDirectory() as folder:
        copying = Copying(Path(folder), NATIVE)
        model = {"/".join([*folders, name]): content for name, content in files.items()}
        copying.carry(model)
        subprocess.run(
            ["sha256sum", "--check", "--strict", "--quiet", copying.list], cwd=copying.models, check=True
        )
        assert copying.run()[0] == 0
        assert copying.copied() == model
        written = subprocess.run(
            ["sha256sum", "--binary", "--", *sorted(model)],
            cwd=copying.destination,
            capture_output=True,
            check=True,
        ).stdout
        assert written == copying.list.read_bytes()

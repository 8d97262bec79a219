"""What the copy command meets in a cluster and only root can set up: file systems of its own."""

import subprocess
from pathlib import Path

from tests.infra.copying import NATIVE, NOBODY, Copying

MODEL = {"a": b"small", "sub/weights": b"large" * 50_000}


def image(folder: Path) -> Copying:
    """A root file system that holds what a model image holds, and nothing else."""
    folder.chmod(0o755)  # pytest's folders are for their owner alone
    copying = Copying(folder, NATIVE)
    copying.carry(MODEL)
    copying.destination.rmdir()
    copying.destination = folder / "mnt" / "models"
    copying.destination.mkdir(parents=True)
    return copying


def run_in(folder: Path, mounts: str, after: str = "") -> "subprocess.CompletedProcess[str]":
    """Runs the image as nobody, on a read-only root and without /proc, with `mounts` made in the root."""
    script = f"""
        mount --bind . . && cd "$PWD" && {mounts} && mount -o remount,bind,ro . || exit 99
        chroot --userspec={NOBODY}:{NOBODY} . /modelflight-copy; code=$?
        {after}
        exit $code
    """
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_copies_as_nobody_on_a_read_only_root_without_proc(tmp_path: Path):
    folder = tmp_path / "image"
    folder.mkdir()
    copying = image(folder)
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o777)
    volume.chmod(0o777)
    done = run_in(folder, f"mount --bind {volume} mnt/models")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "copied 2 files, 250005 bytes; 0 files were already there\n"
    copying.destination = volume
    assert copying.copied() == MODEL
    assert {path.stat().st_uid for path in volume.rglob("*")} == {NOBODY}


def test_a_destination_that_is_not_mounted_is_read_only_and_told(tmp_path: Path):
    image(tmp_path)
    done = run_in(tmp_path, "true")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "modelflight-copy: cannot write /mnt/models/a: Read-only file system\n"


def test_a_full_disk_is_told_and_no_temporary_file_stays(tmp_path: Path):
    image(tmp_path)
    done = run_in(
        tmp_path,
        "mount -t tmpfs -o size=128k,mode=0777 tmpfs mnt/models",
        "find mnt/models -type f",
    )
    assert done.returncode == 1
    assert done.stderr == "modelflight-copy: cannot write /mnt/models/sub/weights: No space left on device\n"
    assert done.stdout == "mnt/models/a\n"

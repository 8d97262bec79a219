"""A model image runs: its entry point copies the model that the image carries, and finds out damage."""

import io
import platform
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import PackFailed
from tests.tasks.oci.packing import packed

HERE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
MACHINES = {"amd64": 0x3E, "arm64": 0xB7}  # e_machine in the ELF header


@pytest.fixture
def root(model: Path, tmp_path: Path, verify: Callable[[Path], Any]) -> Callable[[str], Path]:
    """The file system of the image for an architecture, as a container would have it."""
    digest = packed(model, tmp_path / "layout").digest
    found = verify(tmp_path / "layout")

    def unpack(architecture: str) -> Path:
        target = tmp_path / architecture
        index = found.document({"digest": digest, "size": found.reached[digest]})
        (entry,) = (each for each in index["manifests"] if each["platform"]["architecture"] == architecture)
        for layer in found.document(entry)["layers"]:
            with tarfile.open(fileobj=io.BytesIO(found.blob(layer))) as archive:
                archive.extractall(target, filter="fully_trusted")
        return target

    return unpack


@pytest.mark.parametrize("architecture", MACHINES)
def test_the_command_is_of_its_architecture_and_may_be_run(
    root: Callable[[str], Path], architecture: str
) -> None:
    command = root(architecture) / "modelflight-copy"
    assert command.read_bytes()[:4] == b"\x7fELF"
    assert command.read_bytes()[18] == MACHINES[architecture]
    assert command.stat().st_mode & 0o777 == 0o755


def copied(root: Path, target: Path) -> subprocess.CompletedProcess[str]:
    target.mkdir()
    command = [root / "modelflight-copy", target, root / "models", root / "modelflight-copy.sha256"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_copies_every_file_of_the_model(root: Callable[[str], Path], model: Path, tmp_path: Path) -> None:
    done = copied(root(HERE), tmp_path / "copied")
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    target = tmp_path / "copied"
    assert files == {
        path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()
    }


def test_it_refuses_a_model_that_is_not_the_one_that_was_packed(
    root: Callable[[str], Path], tmp_path: Path
) -> None:
    unpacked = root(HERE)
    (unpacked / "models" / "model.joblib").write_bytes(b"damaged")
    done = copied(unpacked, tmp_path / "copied")
    assert done.returncode == 3
    assert "model.joblib" in done.stderr


def test_a_name_that_the_command_would_remove_is_refused_before_anything_is_written(
    model: Path, tmp_path: Path
) -> None:
    (model / ".modelflight-copy.0123456789abcdef").touch()
    with pytest.raises(PackFailed, match="temporary file"):
        packed(model, tmp_path / "layout")
    assert not (tmp_path / "layout").exists()

"""The copy command as it runs in an image: a model, its list, a destination, and a process."""

import hashlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.oci.copy_command import binary, listing

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NOBODY = 65534
NATIVE = ARCHITECTURES[platform.machine()]


def emulator(architecture: str) -> str | None:
    """The program that runs another architecture's programs here, if it is installed."""
    name = {"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}[architecture]
    return shutil.which(name) or shutil.which(f"{name}-static")


RUNNABLE = [each for each in ARCHITECTURES.values() if each == NATIVE or emulator(each)]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Copying:
    """A model in `models`, to be copied to `destination` as `list` says."""

    def __init__(self, folder: Path, architecture: str) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.list = folder / "modelflight-copy.sha256"
        self.destination = folder / "mnt"
        self.program = folder / "modelflight-copy"
        self.models.mkdir()
        self.destination.mkdir()
        self.program.write_bytes(binary(architecture))
        self.program.chmod(0o755)
        self.command = [str(self.program), str(self.destination), str(self.models), str(self.list)]
        if architecture != NATIVE:
            self.command.insert(0, str(emulator(architecture)))

    def carry(self, files: Mapping[str, bytes]) -> None:
        """Puts the files into the image, and lists them."""
        for name, content in files.items():
            path = self.models / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.list.write_bytes(listing((name, sha256(content)) for name, content in files.items()))

    def start(self, *, limit: str = "", **options: object) -> "subprocess.Popen[str]":
        """Starts the copy, under a limit of the shell's ulimit where one is given."""
        command = self.command
        if limit:
            command = ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *command]
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )

    def run(self, **options: object) -> tuple[int, str, str]:
        """Copies; returns the exit code and what was written to standard output and standard error."""
        return ended(self.start(**options))  # type: ignore[arg-type]

    def fails(self, code: int, *parts: str, **options: object) -> None:
        """Copies, and asserts that this ends with `code` and one line that holds all `parts`."""
        found, out, err = self.run(**options)
        assert found == code, err
        assert out == ""
        assert err.startswith("modelflight-copy: ")
        assert err.endswith("\n")
        assert err.count("\n") == 1
        for part in parts:
            assert part in err

    def copied(self) -> dict[str, bytes]:
        """The files below the destination, those with temporary names among them."""
        return {
            path.relative_to(self.destination).as_posix(): path.read_bytes()
            for path in self.destination.rglob("*")
            if path.is_file()
        }

    def start_halfway(self, name: str, begin: bytes) -> "subprocess.Popen[str]":
        """Starts a copy, and returns when it has written `begin` of the file `name`, which has no end."""
        source = self.models / name
        source.unlink()
        os.mkfifo(source)
        process = self.start()
        self._pipe = os.open(source, os.O_RDWR)
        assert os.write(self._pipe, begin) == len(begin)
        parent = (self.destination / name).parent
        until(lambda: any(path.read_bytes() == begin for path in parent.glob(".modelflight-copy.*")), process)
        return process

    def close(self) -> None:
        if hasattr(self, "_pipe"):
            os.close(self._pipe)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)

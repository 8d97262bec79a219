"""The testbed's programs that come as Go modules: built once, from pinned versions with checksums.

`tests/system/programs/NAME` holds a `go.mod` that names the commands in `tool` directives, and a `go.sum`.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.system.testbed.cache import cache_folder, entry, obtain

PROGRAMS = Path(__file__).parents[1] / "programs"
HEARTBEAT = 20  # seconds between two signs of life of a build
TETHERED = ("setpriv", "--pdeathsig", "KILL")  # ends with the process that started it

Say = Callable[[str], None]


class BuildFailed(Exception):
    """A program could not be built; the message carries the compiler's last lines."""


@dataclass(frozen=True)
class Files:
    """Files of a module that are kept beside the programs: `folder` of `module`.

    `version` and `checksum` (as in go.sum) pin a module that the program's go.mod does not require.
    """

    module: str
    folder: str
    version: str = ""
    checksum: str = ""


@dataclass(frozen=True)
class Program:
    """The commands of the go.mod in `programs/NAME`; `module` is the one whose version counts.

    In `stamps`, `{version}` stands for that version; they are given to the linker as `-X`.
    """

    name: str
    module: str
    stamps: tuple[str, ...] = ()
    tags: str = ""
    files: tuple[Files, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the go.mod is."""
        return PROGRAMS / self.name

    @property
    def version(self) -> str:
        """The version of `module`, from the go.mod."""
        required = re.search(
            rf"^\s*(?:require )?{re.escape(self.module)} (\S+)", self._text("go.mod"), re.MULTILINE
        )
        if required is None:
            raise BuildFailed(f"{self.folder / 'go.mod'} does not require {self.module}.")
        return required[1]

    @property
    def key(self) -> str:
        """The version and a hash over everything that goes into the build."""
        parts = [self._text("go.mod"), self._text("go.sum"), repr(self), go_version(), platform.machine()]
        return f"{self.version}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"

    @property
    def is_built(self) -> bool:
        """Whether it is in the cache."""
        return entry(self.name, self.key).exists()

    @property
    def path(self) -> Path:
        """Where the built program is: commands in `bin`, files of its modules in `share`.

        Raises:
            BuildFailed: it was not built yet.
        """
        found = entry(self.name, self.key)
        if not found.exists():
            raise BuildFailed(f"{self.name} {self.version} is not built; run: make test-system-build")
        return found

    def command(self, name: str) -> Path:
        """The path of one of its commands."""
        return self.path / "bin" / name

    def share(self, name: str) -> Path:
        """The path of files that are kept beside the commands."""
        return self.path / "share" / name

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text()


KUBERNETES = Program(
    "kubernetes",
    "k8s.io/kubernetes",
    # An unstamped server gives a version that Flagger cannot parse.
    stamps=("k8s.io/component-base/version.gitVersion={version}",),
)
ETCD = Program("etcd", "go.etcd.io/etcd/server/v3")
CONTAINERD = Program("containerd", "github.com/containerd/containerd/v2")
FLAGGER = Program(
    "flagger",
    "github.com/fluxcd/flagger",
    files=(Files("github.com/fluxcd/flagger", "artifacts/flagger"),),
)
KWOK = Program("kwok", "sigs.k8s.io/kwok", files=(Files("sigs.k8s.io/kwok", "kustomize/stage"),))
KUSTOMIZE_CONTROLLER = Program(
    "kustomize-controller",
    "github.com/fluxcd/kustomize-controller",
    files=(
        Files("github.com/fluxcd/kustomize-controller", "config/crd/bases"),
        Files(
            "github.com/fluxcd/source-controller",
            "config/crd/bases",
            "v1.9.6",
            "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
        ),
    ),
)
DISTRIBUTION = Program("distribution", "github.com/distribution/distribution/v3")
VERSITYGW = Program("versitygw", "github.com/versity/versitygw")
GITEA = Program(
    "gitea",
    "code.gitea.io/gitea",
    stamps=("main.Version={version}",),
    tags="sqlite sqlite_unlock_notify",
    files=tuple(Files("code.gitea.io/gitea", folder) for folder in ("templates", "options", "public")),
)
ACT = Program("act", "github.com/nektos/act")
CRANE = Program("crane", "github.com/google/go-containerregistry")
ORAS = Program("oras", "oras.land/oras")
COSIGN = Program("cosign", "github.com/sigstore/cosign/v2")
KUBECONFORM = Program("kubeconform", "github.com/yannh/kubeconform")

# The longest builds first, so that the last one does not run alone.
ALL = (
    KUBERNETES, GITEA, KUSTOMIZE_CONTROLLER, COSIGN, VERSITYGW, FLAGGER, DISTRIBUTION, KWOK, CONTAINERD,
    ETCD, ACT, CRANE, ORAS, KUBECONFORM,
)  # fmt: skip


def build(programs: Sequence[Program], say: Say) -> None:
    """Builds what is not in the cache yet, two at a time.

    Raises:
        BuildFailed: the first program that could not be built.
    """
    missing = [program for program in programs if not program.is_built]
    for program in programs:
        if program not in missing:
            obtain(program.name, program.key, lambda _: None)  # marks it as used
    if not missing:
        return
    say(f"Building {len(missing)} of {len(programs)} programs; all of them take about half an hour.")
    pool = ThreadPoolExecutor(2)  # not in a with statement, which would wait for the builds when one failed
    builds = [pool.submit(_build, program, say) for program in missing]
    try:
        for number, done in enumerate(as_completed(builds), 1):
            say(f"[{number}/{len(missing)}] {done.result()}")
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    if all(program.is_built for program in ALL):
        shutil.rmtree(_go_cache(), ignore_errors=True)  # ten times as large as the programs


def fetch(programs: Iterable[Program]) -> None:
    """Fetches the modules of what is not built yet; a failure here is told by the build that meets it."""
    for program in programs:
        if program.is_built:
            continue
        subprocess.run(
            [*TETHERED, "go", "list", "-deps", "-tags", program.tags, "tool"],
            cwd=program.folder, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip


def _build(program: Program, say: Say) -> str:
    began = time.monotonic()

    def make(folder: Path) -> None:
        _install(program, folder, say)
        for files in program.files:
            target = folder / "share" / files.module.rpartition("/")[2] / files.folder
            # A module's files are read-only, and so would be the copy of its folders.
            shutil.copytree(
                _module_folder(program, files) / files.folder, target, copy_function=shutil.copyfile
            )
            for copied in (target, *target.rglob("*")):
                copied.chmod(0o755 if copied.is_dir() else 0o644)

    obtain(program.name, program.key, make)
    return f"{program.name} {program.version} in {time.monotonic() - began:.0f} s"


def _install(program: Program, folder: Path, say: Say) -> None:
    """Builds into `bin` of a new folder; what a killed compiler leaves in it goes with the folder."""
    temporary = folder / "go-build"
    temporary.mkdir()
    stamps = " ".join(f"-X {stamp.format(version=program.version)}" for stamp in program.stamps)
    command = [
        *TETHERED, "go", "install", "-v", "-trimpath", f"-ldflags=-s -w {stamps}",
        "-tags", program.tags, "tool",
    ]  # fmt: skip
    environment = {**_environment(), "GOBIN": str(folder / "bin"), "GOTMPDIR": str(temporary)}
    with subprocess.Popen(
        command, cwd=program.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as running:
        lines: list[str] = []
        heard = time.monotonic()
        for line in running.stderr or ():  # with -v, one line for each package
            lines.append(line.rstrip())
            if time.monotonic() - heard > HEARTBEAT:
                heard = time.monotonic()
                say(f"{program.name} {program.version}: {len(lines)} packages, now {lines[-1]}")
    shutil.rmtree(temporary)
    if running.returncode:
        shown = "\n".join(line for line in lines if not _is_package(line)) or "\n".join(lines)
        raise BuildFailed(f"{program.name} {program.version} cannot be built:\n{shown[-4000:]}")


def _is_package(line: str) -> bool:
    return re.fullmatch(r"[\w./~+-]+", line) is not None


def _module_folder(program: Program, files: Files) -> Path:
    wanted = f"{files.module}@{files.version}" if files.version else files.module
    done = subprocess.run(
        ["go", "mod", "download", "-json", wanted],
        cwd=program.folder, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BuildFailed(f"The files of {wanted} cannot be had:\n{done.stderr}{done.stdout}")
    found = json.loads(done.stdout)
    if files.checksum and found["Sum"] != files.checksum:
        raise BuildFailed(f"The files of {wanted} have the checksum {found['Sum']}, not {files.checksum}.")
    return Path(found["Dir"])


def _environment() -> dict[str, str]:
    # The Go that is installed, and go.sum as it is; Gitea needs C for its SQLite.
    return {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
        "GOCACHE": str(_go_cache() / "build"),
        "GOMODCACHE": str(_go_cache() / "modules"),
        "CGO_ENABLED": "1",
    }


def _go_cache() -> Path:
    return cache_folder() / "go"


def go_version() -> str:
    """The installed Go, as in `go1.26.8`."""
    return subprocess.run(
        ["go", "env", "GOVERSION"], env=_environment(), capture_output=True, text=True, check=True
    ).stdout.strip()

"""The testbed's programs that come as Debian packages.

Tools are installed. Packages that would start a service of the machine's are unpacked into the cache instead:
nothing begins to listen on somebody's laptop because tests were run there.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.system.testbed.cache import entry, obtain

Say = Callable[[str], None]

# Package: a file that shows that it is there; commands come by other ways too.
TOOLS = {
    "busybox-static": "/bin/busybox",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "chromium": "/usr/bin/chromium",
    "conntrack": "/usr/sbin/conntrack",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "gcc": "/usr/bin/gcc",
    "git": "/usr/bin/git",
    "iproute2": "/usr/bin/ip",
    "iptables": "/usr/sbin/iptables",
    "libc6-dev": "/usr/include/stdlib.h",
    "openssh-client": "/usr/bin/ssh-keygen",
    "procps": "/usr/bin/pgrep",
    "runc": "/usr/sbin/runc",
    "skopeo": "/usr/bin/skopeo",
    "umoci": "/usr/bin/umoci",
    "util-linux": "/usr/bin/unshare",
}
LIBRARIES = "libraries"  # the file in a service's folder that lists the packages of its libraries
SERVICES = ("docker-registry", "postgresql", "prometheus")


class PackageMissing(Exception):
    """A Debian package is not there; the message says how to get it."""


def missing_tools() -> list[str]:
    """The packages of `TOOLS` that are not installed."""
    return [package for package, shown_by in TOOLS.items() if not Path(shown_by).exists()]


def service(package: str) -> Path:
    """The root of the file tree that `package` was unpacked to.

    Raises:
        PackageMissing: it was not unpacked yet.
    """
    found = _entry(package)
    if not found.exists():
        raise PackageMissing(f"The Debian package {package} is not unpacked; run: make test-system-build")
    return found


def obtain_all(say: Say) -> None:
    """Installs the tools that are missing, as root, and unpacks the services.

    Raises:
        PackageMissing: a package is not to be had.
    """
    services = [package for package in SERVICES if not _entry(package).exists()]
    wanted = [*missing_tools(), *_missing_libraries()]
    if not wanted and not services:
        return
    say(f"Debian packages: {', '.join((*wanted, *services))}")
    _apt("update")
    for package in services:
        obtain(f"debian-{package}", _release(), lambda folder, package=package: _unpack(package, folder))
    _apt("install", "--yes", "--no-install-recommends", *missing_tools(), *_missing_libraries())
    if still := missing_tools():
        places = ", ".join(TOOLS[package] for package in still)
        raise PackageMissing(
            f"{', '.join(still)} were installed, and {places} are not there: is this Debian?"
        )


def _missing_libraries() -> list[str]:
    """What the unpacked services need and is not installed; a cache may have come from another machine."""
    lists = [_entry(package) / LIBRARIES for package in SERVICES if _entry(package).exists()]
    needed = {library for found in lists for library in found.read_text().split()}
    return sorted(library for library in needed if not _is_installed(library))


def _is_installed(package: str) -> bool:
    asked = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout == "installed"


def _entry(package: str) -> Path:
    return entry(f"debian-{package}", _release())


def _release() -> str:
    """What the services are of: Debian's release, in the state of the day they were unpacked."""
    return f"{platform.freedesktop_os_release().get('VERSION_ID', 'unstable')}-{platform.machine()}"


def _real(package: str) -> str:
    """`postgresql` only depends on the server of the release's version."""
    if package != "postgresql":
        return package
    versions = [name for name in _depends(package) if re.fullmatch(r"postgresql-\d+", name)]
    if not versions:
        raise PackageMissing("The Debian package postgresql depends on no postgresql-NN.")
    return versions[0]


def _libraries(package: str) -> list[str]:
    # LLVM is for PostgreSQL's compiler of queries, which stays off; libjs is for Prometheus's pages.
    return [name for name in _depends(package) if re.match(r"lib(?!llvm|js-)", name)]


def _depends(package: str) -> list[str]:
    listed = subprocess.run(
        ["apt-cache", "depends", "--no-recommends", "--no-suggests", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return re.findall(r"^\s+\|?Depends: ([\w.+-]+)$", listed.stdout, re.MULTILINE)


def _unpack(service: str, folder: Path) -> None:
    package = _real(service)
    download = folder / "download"
    download.mkdir()
    _apt("download", package, folder=download)
    for archive in download.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
    shutil.rmtree(download)
    (folder / LIBRARIES).write_text("\n".join(_libraries(package)))


def _apt(*arguments: str, folder: Path | None = None) -> None:
    if shutil.which("apt-get") is None:
        raise PackageMissing(
            "apt-get is not there: the testbed needs Debian, or a system that derives from it."
        )
    done = subprocess.run(
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments],
        cwd=folder,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PackageMissing(f"apt-get {' '.join(arguments)} failed:\n{(done.stderr or done.stdout)[-2000:]}")

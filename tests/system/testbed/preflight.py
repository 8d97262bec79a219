"""What the testbed needs of the machine; all that is missing is told at once, before anything starts."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from tests.system.testbed import cache, debian, programs
from tests.system.testbed.namespace import CGROUPS, state_folder

GIB = 1 << 30
BUILD_SPACE = 22 * GIB  # while building: modules, and what Go's compiler keeps
RUN_SPACE = 2 * GIB
KERNEL = (4, 19)  # overlayfs, user.max_* namespaces and cgroups as containerd 2 and runc want them


def problems() -> Iterator[str]:
    """One line for each thing that is missing, with the way to get it; none when it can be built and run."""
    if platform.system() != "Linux":
        yield f"The testbed needs Linux; this is {platform.system()}."
        return
    if _kernel() < KERNEL:
        yield f"The kernel {platform.release()} is too old; 4.19 or newer is needed."
    if os.geteuid() != 0:
        yield 'Root is needed for namespaces and containers: sudo env PATH="$PATH" make test-system'
    yield from _build_problems()
    yield from _space_problems()


def _build_problems() -> Iterator[str]:
    wanted = max(_go_needed())
    if shutil.which("go") is None:
        yield f"Go {'.'.join(map(str, wanted))} or newer is needed to build: https://go.dev/dl/"
    elif (found := _numbers(programs.go_version())) < wanted:
        shown = ".".join(map(str, found)), ".".join(map(str, wanted))
        yield f"Go {shown[0]} is too old; {shown[1]} or newer is needed: https://go.dev/dl/"
    if shutil.which("apt-get") is None and debian.missing_tools():
        yield (
            "apt-get is not there; on Debian 12 or a system that derives from it the testbed installs "
            f"what it needs: {', '.join(debian.missing_tools())}"
        )


def _go_needed() -> Iterator[tuple[int, ...]]:
    for program in programs.ALL:
        yield _numbers(re.findall(r"^go (\S+)", (program.folder / "go.mod").read_text(), re.MULTILINE)[0])


def _space_problems() -> Iterator[str]:
    places = {state_folder(): RUN_SPACE}
    if shutil.which("go") is None or not all(program.is_built for program in programs.ALL):
        places[cache.cache_folder()] = BUILD_SPACE
    for folder, needed in places.items():
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            yield (
                f"{folder} has {free / GIB:.1f} GiB free; {needed / GIB:.0f} GiB are needed. Free some, "
                f"or name another place in {'TMPDIR' if needed == RUN_SPACE else cache.CACHE}."
            )


def kernel_problems() -> Iterator[str]:
    """The same for what containers need of the kernel, which is tried; needs root and the packages' tools."""
    state = state_folder()
    try:
        trial = tempfile.mkdtemp(prefix="modelflight-trial-", dir=state)
    except OSError as error:
        yield f"{state} cannot be written to: {error.strerror}; name another folder in TMPDIR."
        return
    trials = {
        "Private namespaces cannot be made": "unshare --user --ipc true",
        "A bridge and a veth pair cannot be made (kernel modules bridge and veth)": (
            "ip link add trial0 type bridge && ip link add trial1 type veth peer name trial2"
        ),
        # The mount goes with its namespace.
        f"overlayfs cannot be mounted in {state}; name a folder on ext4 or xfs in TMPDIR": (
            "mkdir lower upper work merged && "
            "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged"
        ),
        "iptables cannot read its rules": "iptables -t nat -S",
        f"No cgroup can be made in {CGROUPS}": (
            f"for root in {CGROUPS} {CGROUPS}/*; do [ ! -f $root/cgroup.procs ] || break; done && "
            "mkdir $root/$(basename $PWD) && rmdir $root/$(basename $PWD)"
        ),
    }
    for problem, script in trials.items():
        done = subprocess.run(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script],
            cwd=trial, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            yield f"{problem}: {done.stderr.strip() or f'exit status {done.returncode}'}"
    shutil.rmtree(trial, ignore_errors=True)


def _kernel() -> tuple[int, ...]:
    return _numbers(platform.release())[:2]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))

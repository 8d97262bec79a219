"""The cgroup in which everything runs that the testbed's containers are made of."""

import os
from pathlib import Path

from tests.system.testbed.namespace import CGROUPS, STATE


def make() -> str:
    """Makes the cgroup that is named after the state folder, in each hierarchy; returns its name.

    Raises:
        RuntimeError: this process does not run in the testbed's namespaces.
    """
    if STATE not in os.environ:
        raise RuntimeError("Containers run in the testbed's namespaces only; run: make test-system")
    name = Path(os.environ[STATE]).name
    if (CGROUPS / "cgroup.controllers").exists():
        _make_version_2(name)
    else:
        _make_version_1(name)
    return name


def _make_version_1(name: str) -> None:
    for hierarchy in CGROUPS.iterdir():
        if not (hierarchy / "cgroup.procs").exists():
            continue
        cgroup = hierarchy / name
        cgroup.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty in a new cgroup, which can then hold nobody
            if (hierarchy / setting).exists():
                (cgroup / setting).write_text((hierarchy / setting).read_text())


def _make_version_2(name: str) -> None:
    # A cgroup has the controllers that its parent hands on (Documentation/admin-guide/cgroup-v2.rst,
    # "Enabling and Disabling"); the kubelet itself hands them on from there.
    handed_on = CGROUPS / "cgroup.subtree_control"
    controllers = (CGROUPS / "cgroup.controllers").read_text().split()
    if missing := set(controllers) - set(handed_on.read_text().split()):
        handed_on.write_text(" ".join(f"+{controller}" for controller in missing))
    (CGROUPS / name).mkdir(exist_ok=True)

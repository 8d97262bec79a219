"""The cache of the testbed's programs: one folder for each program, version and way of building it.

A folder appears whole, by renaming, or not at all; an interrupted build leaves nothing that is taken for one.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = "MODELFLIGHT_TESTBED_CACHE"
KEPT = 2  # entries of one program; two checkouts with different versions do not drive each other out


def cache_folder() -> Path:
    """Where programs are kept: `MODELFLIGHT_TESTBED_CACHE`, by default in the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(CACHE) or user / "modelflight-testbed").absolute()


def entry(program: str, key: str) -> Path:
    """The folder of `program` in the version that `key` names; it may not be there yet."""
    return cache_folder() / program / key


def obtain(program: str, key: str, make: Callable[[Path], None]) -> Path:
    """The entry, made by `make` in the folder that it is given, unless it is there already.

    A second process that wants the same entry waits for the first. Older entries of the program go.
    """
    wanted = entry(program, key)
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with _locked(wanted.parent):
        if not wanted.exists():
            building = wanted.parent / ".building"
            shutil.rmtree(building, ignore_errors=True)  # of a killed build: the lock is ours
            building.mkdir()
            make(building)
            building.rename(wanted)
        os.utime(wanted)
        _drop_old(wanted.parent)
    return wanted


def _drop_old(folder: Path) -> None:
    shutil.rmtree(folder / ".dropped", ignore_errors=True)
    entries = [found for found in folder.iterdir() if not found.name.startswith(".")]
    entries.sort(key=lambda found: found.stat().st_mtime, reverse=True)
    for old in entries[KEPT:]:
        dropped = old.rename(folder / ".dropped")  # half removed, it would be taken for an entry
        shutil.rmtree(dropped)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process that makes {folder.name}", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield

"""Commands that do one thing and end."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class CommandFailed(Exception):
    """A command ended with another status than 0; the message carries all that it wrote."""


def output(
    *command: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """What a command writes to standard output; `environment` is added to this process's.

    Raises:
        CommandFailed: its status is not 0.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,  # seconds; what hangs that long has failed
    )
    if done.returncode:
        shown = " ".join(map(str, command))
        raise CommandFailed(f"{shown} ended with exit status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout

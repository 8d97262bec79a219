"""systemd's units as data."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from tests.repositories import TOP

FOLDER = TOP / "infra" / "systemd"
DROP_IN = FOLDER / "modelflight-.service.d"


@dataclass
class Unit:
    """A unit: its settings, each with all its values in order, those of drop-ins last."""

    name: str
    settings: dict[str, list[str]] = field(default_factory=dict)

    def read(self, file: Path) -> None:
        """Adds a file's settings."""
        for line in file.read_text().splitlines():
            if line and not line.startswith(("#", "[")):
                key, _, value = line.partition("=")
                self.settings.setdefault(key, []).append(value)

    def words(self, key: str) -> list[str]:
        """The words of all values."""
        return [word for value in self.settings.get(key, ()) for word in value.split()]

    @property
    def environment(self) -> dict[str, str]:
        """What its Environment= lines set."""
        assignments = [word for value in self.settings.get("Environment", ()) for word in shlex.split(value)]
        return dict(assignment.split("=", 1) for assignment in assignments)

    @property
    def commands(self) -> list[list[str]]:
        """What it runs."""
        keys = ("ExecStartPre", "ExecStart", "ExecStop", "ExecStopPost")
        return [shlex.split(value) for key in keys for value in self.settings.get(key, ())]


def units() -> dict[str, Unit]:
    """All units by name; a service has the settings of the drop-ins for services of that prefix."""
    found = {}
    for file in sorted(FOLDER.glob("modelflight*")):
        if file.is_dir():
            continue
        unit = Unit(file.name)
        unit.read(file)
        if file.suffix == ".service" and file.name.startswith(DROP_IN.name.removesuffix(".service.d")):
            for more in sorted(DROP_IN.glob("*.conf")):
                unit.read(more)
        found[unit.name] = unit
    return found


def environment_file() -> dict[str, str]:
    """`releases.env`."""
    lines = (FOLDER / "releases.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

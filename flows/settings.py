"""Where Modelflight keeps its files on this machine."""

import os
from dataclasses import dataclass, field
from pathlib import Path


def _default_home() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(os.environ.get("MODELFLIGHT_HOME") or Path(data) / "modelflight").expanduser().absolute()


@dataclass(frozen=True)
class Home:
    """The folder below which everything is kept: `MODELFLIGHT_HOME`, by default in the user's data folder."""

    path: Path = field(default_factory=_default_home)

    @property
    def sources(self) -> Path:
        """Notebook repositories, a folder for each commit."""
        return self.path / "sources"

    @property
    def pipelines(self) -> Path:
        """Compiled pipelines, a file for each identity."""
        return self.path / "pipelines"

    @property
    def runs(self) -> Path:
        """Pipeline runs on this machine, a folder for each run id."""
        return self.path / "runs"

    def layout(self, image: str) -> Path:
        """The OCI layout folder of the image repository `image`.

        One folder name for each repository, so that none lies within another's; `:` would end the folder in
        `oci:FOLDER:TAG`.
        """
        return self.path / "images" / image.replace("/", "+").replace(":", "=")

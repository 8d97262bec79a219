"""What the environment says: where files are kept on this machine, and where results are stored."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tasks.artifacts.objects import open_objects
from tasks.errors import InvalidInput


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


def work_pool() -> str:
    """The Prefect work pool that releases run in: `MODELFLIGHT_WORK_POOL`."""
    return os.environ.get("MODELFLIGHT_WORK_POOL") or "modelflight"


@dataclass(frozen=True)
class Backends:
    """Where the results of releases are stored.

    `artifacts` is the address of a store, from `MODELFLIGHT_ARTIFACTS`: `s3://bucket/prefix` or
    `file:///folder`; empty, artifacts stay in their runs' folders. `registry` says whether images are pushed
    to the registries in their names, or kept in layout folders: `MODELFLIGHT_IMAGES`, `registry` or `layout`.
    Where it says nothing, images go to the registries at `hosts`.
    """

    artifacts: str = ""
    registry: bool | None = None
    hosts: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls) -> Self:
        """The backends that the environment names; nothing is reached yet.

        Raises:
            AddressInvalid: `MODELFLIGHT_ARTIFACTS` is no address of a store.
            InvalidInput: `MODELFLIGHT_IMAGES` is neither `layout` nor `registry`.
        """
        artifacts = os.environ.get("MODELFLIGHT_ARTIFACTS", "").rstrip("/")
        if artifacts:
            open_objects(artifacts)  # for its errors; it is opened where it is used
        images = os.environ.get("MODELFLIGHT_IMAGES", "")
        if images not in ("", "layout", "registry"):
            raise InvalidInput(
                "There is no such store for images.",
                where=f"MODELFLIGHT_IMAGES={images}",
                next_step="Set it to layout or registry, or unset it.",
            )
        return cls(artifacts, images == "registry" if images else None)

    def images(self, image: str, home: Home) -> str:
        """The address where the images of the repository `image` are stored."""
        pushed = image.partition("/")[0] in self.hosts if self.registry is None else self.registry
        return image if pushed else f"oci:{home.layout(image)}"

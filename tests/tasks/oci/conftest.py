"""An independent reader of image layouts: follows the specification, shares no code with tasks/oci."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fixtures import docker_config, registry  # noqa: F401

REPOSITORY = Path(__file__).parents[3]


class Reader:
    """Follows every descriptor from `index.json` on, and asserts what the specification asks for."""

    def __init__(self, layout: Path) -> None:
        self.layout = layout
        self.reached: dict[str, int] = {}
        assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
        for path in (layout / "blobs" / "sha256").iterdir():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, "a blob that is not whole"
        listing = json.loads((layout / "index.json").read_bytes())
        assert listing["schemaVersion"] == 2
        self.tags: dict[str, str] = {}
        self.untagged: list[dict[str, Any]] = []
        for entry in listing["manifests"]:
            self.follow(entry)
            tag = entry.get("annotations", {}).get("org.opencontainers.image.ref.name")
            if tag is None:
                self.untagged.append(entry)
            else:
                assert tag not in self.tags, "one tag listed twice"
                self.tags[tag] = entry["digest"]

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        algorithm, _, name = descriptor["digest"].partition(":")
        assert algorithm == "sha256"
        content = Path(self.layout, "blobs", "sha256", name).read_bytes()
        assert len(content) == descriptor["size"]
        assert hashlib.sha256(content).hexdigest() == name
        self.reached[descriptor["digest"]] = len(content)
        return content

    def document(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        content = self.blob(descriptor)
        document: dict[str, Any] = json.loads(content)
        spelled = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert content == spelled.encode(), "not canonical JSON"
        return document

    def follow(self, descriptor: dict[str, Any]) -> None:
        document = self.document(descriptor)
        assert document["schemaVersion"] == 2
        assert document["mediaType"] == descriptor["mediaType"]
        if descriptor["mediaType"] == "application/vnd.oci.image.index.v1+json":
            for manifest in document["manifests"]:
                self.follow(manifest)
                config = self.document(self.document(manifest)["config"])
                assert manifest["platform"] == {"os": config["os"], "architecture": config["architecture"]}
            return
        assert descriptor["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
        layers = [hashlib.sha256(self.blob(layer)).hexdigest() for layer in document["layers"]]
        if document["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json":
            config = self.document(document["config"])
            assert config["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{layer}" for layer in layers]}
            assert len(config["history"]) == len(layers)
        else:
            assert document["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
            assert self.blob(document["config"]) == b"{}"
            assert document["artifactType"]


@pytest.fixture
def verify() -> Callable[[Path], Reader]:
    """Reads a whole layout back and asserts that it is sound."""
    return Reader


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model with everything that names and folders may be."""
    folder = tmp_path / "model"
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "model.joblib").write_bytes(bytes(range(256)) * 8)
    (folder / "empty").write_bytes(b"")
    (folder / "with space").write_bytes(b"1")
    (folder / "new\nline").write_bytes(b"2")
    (folder / "größe-模型").write_bytes(b"3")
    (folder / "sub" / ("long" * 40)).write_bytes(b"4")
    (folder / "sub" / "deeper" / "weights.bin").write_bytes(b"5" * 513)
    return folder


Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def spawn() -> Spawn:
    """Starts Python on a script, with arguments, in the environment plus `more`."""

    def start(script: str, *arguments: object, **more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start

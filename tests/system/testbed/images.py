"""Container images for the testbed's pods, made from files without a daemon, and pushed where pods pull from.

An image is the same, to the digest, whenever it is made of the same files.
Source: OCI image-spec 1.1 (config.md, manifest.md, image-layout.md).
"""

import gzip
import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.system.testbed.command import output

BUSYBOX = "/bin/busybox"

_OCI = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image of one layer; `files` are contents by path, all of which may be executed."""

    files: Mapping[str, bytes]
    entrypoint: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return _digest(self._manifest)

    def write_archive(self, path: Path, name: str) -> None:
        """Writes it as an OCI archive in which it has that name."""
        index = {
            "schemaVersion": 2,
            "manifests": [
                _descriptor("manifest.v1+json", self._manifest)
                | {
                    "annotations": {
                        "io.containerd.image.name": name,
                        "org.opencontainers.image.ref.name": name,
                    }
                }
            ],
        }
        blobs = {f"blobs/{_digest(blob).replace(':', '/')}": blob for blob in self._blobs}
        layout = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index)}
        path.write_bytes(_tar(blobs | layout))

    def push(self, repository: str) -> str:
        """Pushes it to a repository at `localhost:PORT`; returns the name, with digest, that pods pull.

        Raises:
            CommandFailed: the registry refuses, or does not answer.
        """
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            self.write_archive(Path(archive.name), repository)
            output(
                "skopeo", "--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false",
                f"oci-archive:{archive.name}", f"docker://{repository}:{self.digest[7:19]}",
            )  # fmt: skip
        return f"{repository}@{self.digest}"

    @cached_property
    def _layer(self) -> bytes:
        return _tar(self.files)

    @cached_property
    def _compressed_layer(self) -> bytes:
        return gzip.compress(self._layer, 1, mtime=0)

    @cached_property
    def _configuration(self) -> bytes:
        machine = platform.machine()
        return _json(
            {
                "architecture": _ARCHITECTURES.get(machine, machine),
                "os": "linux",
                "config": {"Entrypoint": self.entrypoint},
                "rootfs": {"type": "layers", "diff_ids": [_digest(self._layer)]},
            }
        )

    @cached_property
    def _manifest(self) -> bytes:
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": f"{_OCI}.manifest.v1+json",
                "config": _descriptor("config.v1+json", self._configuration),
                "layers": [_descriptor("layer.v1.tar+gzip", self._compressed_layer)],
            }
        )

    @property
    def _blobs(self) -> Iterator[bytes]:
        yield from (self._manifest, self._configuration, self._compressed_layer)


def with_busybox(*command: str, files: Mapping[str, bytes] | None = None) -> Image:
    """An image with busybox and `files`; it runs `command`, one of busybox's, where a pod says nothing."""
    busybox = Path(BUSYBOX).read_bytes()
    return Image({BUSYBOX.lstrip("/"): busybox, **(files or {})}, (BUSYBOX, *command) if command else ())


def pause() -> Image:
    """What holds a pod's namespaces."""
    return with_busybox("sleep", "infinity")


def web() -> Image:
    """Serves the files below /srv on port 8080."""
    command = ("httpd", "-f", "-p", "8080", "-h", "/srv")
    return with_busybox(*command, files={"srv/index.html": b"It serves.\n"})


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{media_type}", "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(document: object) -> bytes:
    return json.dumps(document).encode()

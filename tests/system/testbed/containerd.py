"""containerd, which runs pods' containers with runc, and knows how to get images."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.testbed.command import CommandFailed, output
from tests.system.testbed.component import Component
from tests.system.testbed.programs import CONTAINERD

STATE = Path("/run/containerd")  # its default, in the testbed's own /run; short, for sockets lie in it
NETWORK_PLUGINS = "/usr/lib/cni"  # Debian's place for them

# Everything that this testbed has no use for, and that is loud about what it misses on the machine.
DISABLED = (
    "io.containerd.internal.v1.tracing",
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
)


class Containerd(Component):
    """The one container runtime of these namespaces.

    Registries at `localhost:PORT` are asked by plain HTTP, as containerd does by itself.

    Args:
        folder: where it keeps images and containers; must lie on a file system that carries overlays.
        network: the folder with the configuration of the container network.
        pause: the name of the image whose process holds a pod's namespaces; it must have been loaded.
    """

    name = "containerd"

    def __init__(self, folder: Path, network: Path, pause: str) -> None:
        super().__init__(folder)
        self._network = network
        self._pause = pause

    @property
    def address(self) -> str:
        """Its socket, as the kubelet wants it."""
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> Path:
        return STATE / "containerd.sock"

    def load(self, archive: Path) -> None:
        """Loads images from an OCI archive, so that pods need no registry for them.

        Raises:
            CommandFailed: containerd does not take it.
        """
        self._control("--namespace", "k8s.io", "images", "import", archive)

    def prepare(self) -> None:
        # JSON's scalars and arrays are TOML's, too.
        lines = (f"{key} = {json.dumps(value)}\n" for key, value in self._settings().items())
        (self.folder / "config.toml").write_text("".join(lines))

    def _settings(self) -> dict[str, object]:
        runtime = 'plugins."io.containerd.cri.v1.runtime"'
        return {
            "version": 3,
            "root": str(self.folder / "root"),
            "state": str(STATE),
            "disabled_plugins": DISABLED,
            "grpc.address": str(self._socket),
            'plugins."io.containerd.cri.v1.images".pinned_images.sandbox': self._pause,
            'plugins."io.containerd.internal.v1.opt".path': str(self.folder / "opt"),  # not /opt
            f"{runtime}.disable_apparmor": True,  # its profile would be loaded for the whole machine
            f"{runtime}.restrict_oom_score_adj": True,  # the machine may not let even root lower it
            f"{runtime}.cni.bin_dirs": [NETWORK_PLUGINS],
            f"{runtime}.cni.conf_dir": str(self._network),
        }

    def environment(self) -> Mapping[str, str]:
        # Where it finds its shim.
        return {"PATH": f"{CONTAINERD.command('containerd').parent}:{os.environ['PATH']}"}

    def command(self) -> Sequence[str | Path]:
        return [
            CONTAINERD.command("containerd"),
            "--config",
            self.folder / "config.toml",
            "--log-level",
            "warn",
        ]

    def is_ready(self) -> bool:
        try:
            self._control("version")
        except CommandFailed:
            return False
        return True

    def _control(self, *arguments: str | Path) -> None:
        output(CONTAINERD.command("ctr"), "--address", self._socket, *arguments)

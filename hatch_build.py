"""Builds the copy command of the model image, a static C program, for wheels and editable installs."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGETS = {"amd64": "x86_64-linux-musl", "arm64": "aarch64-linux-musl"}
FLAGS = ("-std=gnu11", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror")


class CopyCommandHook(BuildHookInterface[Any]):
    """Leaves `infra/copy/bin/modelflight-copy-{amd64,arm64}`, the same bytes wherever they are built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds both programs, unless those that are there came from the same source and compiler."""
        sources = Path(self.root, "infra", "copy")
        key = self._key(sources)
        binaries = {target: sources / "bin" / f"modelflight-copy-{target}" for target in TARGETS}
        built_from = sources / "bin" / "built-from"
        if all(path.exists() for path in (*binaries.values(), built_from)) and built_from.read_text() == key:
            return
        built_from.parent.mkdir(exist_ok=True)
        built_from.unlink(missing_ok=True)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda target: self._compile(sources, target, binaries[target]), TARGETS))
        built_from.write_text(key)

    def _key(self, sources: Path) -> str:
        try:
            parts = [metadata.version("ziglang").encode()]
        except metadata.PackageNotFoundError:
            self.app.abort(
                "The copy command cannot be built: ziglang, its C compiler, is not installed. Build with "
                "isolation, or install all that build-system.requires in pyproject.toml lists first."
            )
        for path in (Path(__file__), *sorted(sources.glob("*.[ch]"))):
            parts += [path.name.encode(), path.read_bytes()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def _compile(self, sources: Path, target: str, binary: Path) -> None:
        incoming = binary.with_name(f".{binary.name}")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", TARGETS[target], *FLAGS]
        command += ["-o", str(incoming), *sorted(path.name for path in sources.glob("*.c"))]
        # Zig caches musl by the path of its own files, which is another one in each isolated build.
        with TemporaryDirectory(prefix="modelflight-zig-") as cache:
            environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
            done = subprocess.run(
                command, cwd=sources, env=environment, capture_output=True, text=True, check=False
            )
        if done.returncode:
            self.app.abort(f"The copy command cannot be built for {target}:\n{done.stderr}{done.stdout}")
        incoming.replace(binary)

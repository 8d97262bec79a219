"""Keeping what a run left, in a folder and in S3: once, whole, and found again."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tasks.artifact import Artifact
from tasks.artifacts.keep import Run, check_store, find, keep
from tasks.artifacts.reading import reading
from tasks.artifacts.scan import scan
from tasks.errors import ArtifactFailed
from tests.fakes.object_store import ObjectStore

TOP = Path(__file__).parents[3]
METRICS = {"score": 0.5, "rows": 3, "kind": "forest"}


class Store:
    """A store below an address, and what is in it by key."""

    def __init__(self, address: str, content: Callable[[], Mapping[str, bytes]], put: Callable) -> None:
        self.address, self.content, self.put = address, content, put


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        root = tmp_path / "a store%41#?"

        def content() -> dict[str, bytes]:
            return {
                str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
            }

        return Store(root.as_uri(), content, lambda key, content: (root / key).write_bytes(content))
    object_store: ObjectStore = request.getfixturevalue("object_store")
    bucket: str = request.getfixturevalue("bucket")

    def put(key: str, content: bytes) -> None:
        with object_store.client() as client:
            client.put_object(Bucket=bucket, Key=f"some/prefix/{key}", Body=content)

    def objects() -> dict[str, bytes]:
        return {
            key.removeprefix("some/prefix/"): value for key, value in object_store.objects(bucket).items()
        }

    return Store(f"s3://{bucket}/some/prefix", objects, put)


def run(pipeline: str = "ab" * 32) -> Run:
    return Run("wine", UUID(int=7), pipeline)


def content_of(artifact: Artifact) -> dict[str, bytes]:
    with reading(artifact) as read:
        return {file.path: b"".join(read(file)) for file in artifact.files}


def test_what_was_kept_is_found_and_read_again(store: Store, model: Path) -> None:
    check_store(store.address)
    kept = keep(store.address, run(), model, METRICS)
    assert find(store.address, run()) == kept
    assert (kept.run_id, kept.metrics) == (UUID(int=7), METRICS)
    assert kept.artifact.address.startswith(f"{store.address}/wine/{UUID(int=7)}/")
    local = scan(model)
    assert kept.artifact.folders == local.folders
    assert [replace(file, version="") for file in kept.artifact.files] == list(local.files)
    assert content_of(kept.artifact) == content_of(local)


def test_a_run_that_was_not_kept_is_not_found(store: Store, model: Path) -> None:
    assert find(store.address, run()) is None
    keep(store.address, run(), model, METRICS)
    assert find(store.address, run("cd" * 32)) is None
    assert find(store.address, replace(run(), run_id=uuid4())) is None


def test_keeping_twice_has_one_effect(store: Store, model: Path) -> None:
    first = keep(store.address, run(), model, METRICS)
    before = store.content()
    assert keep(store.address, run(), model, METRICS) == first
    assert store.content() == before


def test_of_two_that_made_the_same_run_both_get_what_the_first_one_kept(store: Store, model: Path) -> None:
    first = keep(store.address, run(), model, METRICS)
    (model / "model.joblib").write_bytes(b"trained again, elsewhere")
    assert keep(store.address, run(), model, {"score": 0.4}) == first
    assert content_of(first.artifact)["model.joblib"] == bytes(range(256)) * 8


def test_metrics_that_json_does_not_have_come_back_as_unknown(store: Store, model: Path) -> None:
    kept = keep(store.address, run(), model, {"score": math.nan})
    assert kept.metrics == {"score": None}
    (marker,) = (text for key, text in store.content().items() if key.endswith(".json"))
    json.loads(marker, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"[]",
        b'{"files": [], "folders": []}',
        b'{"files": [{"path": "../../etc/passwd", "size": 1, "sha256": "0"}], "folders": [], "metrics": {}}',
        b'{"files": [], "folders": ["/"], "metrics": {}}',
    ],
)
def test_a_damaged_marker_is_told_and_leads_nowhere(store: Store, model: Path, damaged: bytes) -> None:
    keep(store.address, run(), model, METRICS)
    store.put(run().marker, damaged)
    with pytest.raises(ArtifactFailed) as told:
        find(store.address, run())
    assert told.value.where == f"{store.address}/{run().marker}"
    assert told.value.why
    assert told.value.next_step


def test_a_kept_file_that_was_replaced_is_found_out(store: Store, model: Path) -> None:
    kept = keep(store.address, run(), model, METRICS).artifact
    (key,) = (key for key in store.content() if key.endswith("weights.bin"))
    store.put(key, b"6" * 513)
    with pytest.raises(ArtifactFailed) as told:
        content_of(kept)
    assert "weights.bin" in told.value.where
    assert not told.value.retryable


# Kills itself when it has stored one object more.
KILLED = """
import os, signal, sys
from pathlib import Path
from uuid import UUID
from tasks.artifacts import keep as room
from tasks.artifacts.folder import Folder
from tasks.artifacts.s3 import Bucket

def fatal(method):
    def call(*arguments):
        method(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    return call

for kind in (Folder, Bucket):
    kind.write, kind.create = fatal(kind.write), fatal(kind.create)
run = room.Run("wine", UUID(int=7), "ab" * 32)
room.keep(sys.argv[1], run, Path(sys.argv[2]), {"score": 0.5, "rows": 3, "kind": "forest"})
"""


def test_killed_after_each_object_the_next_one_completes_it(store: Store, model: Path) -> None:
    for _ in range(6):  # five files and the marker
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, store.address, str(model)],
            env={**os.environ, "PYTHONPATH": str(TOP)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = keep(store.address, run(), model, METRICS)
    assert content_of(kept.artifact) == content_of(scan(model))
    assert len(store.content()) == len(kept.artifact.files) + 1


def test_without_a_store_the_run_keeps_its_files(model: Path) -> None:
    check_store("")
    assert find("", run()) is None
    kept = keep("", run(), model, {"score": math.inf})
    assert kept.artifact == scan(model)
    assert kept.metrics == {"score": math.inf}

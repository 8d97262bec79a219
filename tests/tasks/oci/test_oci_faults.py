import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ImageCorrupt, PackFailed
from tasks.oci.image import index_annotations
from tasks.oci.layout import Layout
from tasks.oci.layout_images import LayoutImages
from tasks.oci.referrer import attach, referrers
from tasks.release import Digest
from tests.tasks.oci.packing import packed

Verify = Callable[[Path], Any]

PACK = """
import sys
from pathlib import Path
from tasks.errors import PackFailed
from tests.tasks.oci.packing import packed
"""


def incoming(layout: Path) -> list[Path]:
    return list((layout / ".incoming").iterdir())


LIMITED = (
    PACK
    + """
import resource
model, layout, limit, text = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    packed(Path(model), Path(layout), "v2", annotations={"text": "t" * int(text)})
except PackFailed as error:
    print(error)
"""
)


@pytest.mark.parametrize(
    ("limit", "text"),
    [(0, 1), (100_000, 1), (400_000, 500_000)],
    ids=["nothing can be written", "the layer does not fit", "the manifests do not fit"],
)
@pytest.mark.parametrize("existing", [True, False], ids=["existing layout", "new layout"])
def test_a_file_system_that_takes_no_more_leaves_what_was_there(
    model: Path, tmp_path: Path, verify: Verify, spawn: Any, limit: int, text: int, existing: bool
) -> None:
    layout = tmp_path / "layout"
    before = packed(model, layout).digest if existing else None
    (model / "weights").write_bytes(os.urandom(300_000))
    output, errors = spawn(LIMITED, model, layout, limit, text).communicate()
    assert "The model image cannot be written.\n" in output, errors
    assert f"where: {layout}\nwhy: File too large\nnext: Raise the limit" in output
    assert incoming(layout) == []
    if existing:
        assert verify(layout).tags == {"v1": before}
    after = packed(model, layout, "v2", annotations={"text": "t" * text})
    assert verify(layout).tags == {"v2": after.digest} | ({"v1": before} if existing else {})


def test_a_layout_that_cannot_be_made_is_reported(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    layout = tmp_path / "file" / "layout"
    with pytest.raises(PackFailed) as failed:
        packed(model, layout)
    assert failed.value.where == str(layout)
    assert "Not a directory" in failed.value.why
    assert "folder" in failed.value.next_step


@pytest.mark.parametrize("taken", ["blobs", "blobs/sha256", ".incoming", ".lock"])
def test_a_layout_whose_parts_cannot_be_written_is_reported(model: Path, tmp_path: Path, taken: str) -> None:
    path = tmp_path / "layout" / taken
    path.parent.mkdir(parents=True)
    path.mkdir() if taken == ".lock" else path.touch()
    with pytest.raises(PackFailed) as failed:
        packed(model, tmp_path / "layout")
    assert str(path) in failed.value.why


def test_attaching_where_nothing_can_be_written_is_reported(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    subject = packed(model, layout).digest
    shutil.rmtree(layout / ".incoming")
    (layout / ".incoming").touch()
    images = LayoutImages(layout)
    with pytest.raises(PackFailed) as failed:
        attach(images, subject, artifact_type="a/b", media_type="a/b", payload=b"x", annotations={})
    assert failed.value.where == str(layout)
    assert referrers(images, subject, "a/b") == []


def test_a_layout_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    digest = Digest("sha256:" + "0" * 64)
    for read in (index_annotations, lambda images, digest: referrers(images, digest, "a/b")):
        with pytest.raises(ImageCorrupt, match="Not a directory"):
            read(LayoutImages(tmp_path / "file"), digest)


# Kills itself at the n-th system call that touches the disk, for n = 1, 2, ...: before it, or half-way
# through a write. Each attempt has a layout of its own; the last one is not killed.
KILLED = (
    PACK
    + """
import itertools, os, signal

def arm(fatal):
    calls = itertools.count(1)
    def armed(function, half=None):
        def call(*arguments, **named):
            if next(calls) == fatal:
                if half:
                    half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)
        return call
    write = os.write
    os.write = armed(write, lambda handle, content: write(handle, content[: len(content) // 2]))
    for name in ("open", "fsync", "replace", "unlink", "mkdir"):
        setattr(os, name, armed(getattr(os, name)))

model, layouts = sys.argv[1:]
for number in itertools.count(1):
    if not (child := os.fork()):
        arm(number)
        packed(Path(model), Path(layouts, str(number)))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        print(number)
        break
"""
)


def test_a_writer_killed_anywhere_leaves_nothing_half_written_and_the_next_one_finishes(
    model: Path, tmp_path: Path, verify: Verify, spawn: Any
) -> None:
    (model / "weights").write_bytes(os.urandom(1 << 20))
    wanted = packed(model, tmp_path / "layout")
    output, errors = spawn(KILLED, model, tmp_path).communicate()
    layouts = [tmp_path / str(number) for number in range(1, int(output) + 1)]
    assert len(layouts) > 30, errors
    left, tagged = 0, 0
    for layout in layouts:
        if (layout / "index.json").exists():
            tagged += verify(layout).tags == {"v1": wanted.digest}
        left += (layout / ".incoming").exists() and len(incoming(layout)) > 0
        assert packed(model, layout) == wanted
        assert verify(layout).tags == {"v1": wanted.digest}
        assert incoming(layout) == []
    assert left > 10, "some were killed while they wrote"
    assert 1 <= tagged < len(layouts), "the tag came last"


def test_only_files_of_dead_writers_are_cleared(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    wanted = packed(model, layout)
    (layout / ".incoming" / "abandoned").write_bytes(b"half")
    with Layout(layout).incoming() as live:
        written = incoming(layout)
        live.write(b"still being written")
        packed(model, layout)
        left = incoming(layout)
        assert len(written) == 2
        assert [path.read_bytes() for path in left] == [b"still being written"]
    assert incoming(layout) == []
    assert packed(model, layout) == wanted


CONCURRENT = (
    PACK
    + """
model, layout, tag = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
try:
    for _ in range(5):
        image = packed(Path(model), Path(layout), tag)
    print(image.digest)
except PackFailed as error:
    print(type(error).__name__)
"""
)


def at_once(spawn: Any, arguments: list[tuple[object, ...]]) -> list[str]:
    processes = [spawn(CONCURRENT, *each) for each in arguments]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate() for process in processes]
    return [output.strip() or errors for output, errors in answers]


@pytest.mark.parametrize("tags", [["v1"] * 4, ["v1", "v2", "v3", "v4"]], ids=["same tag", "different tags"])
def test_writers_of_one_layout_lose_nothing(
    model: Path, tmp_path: Path, verify: Verify, spawn: Any, tags: list[str]
) -> None:
    layout = tmp_path / "layout"
    wanted = packed(model, tmp_path / "alone").digest
    assert at_once(spawn, [(model, layout, tag) for tag in tags]) == [wanted] * 4
    assert verify(layout).tags == dict.fromkeys(tags, wanted)
    assert incoming(layout) == []


def test_of_writers_of_different_models_under_one_tag_exactly_one_wins(
    tmp_path: Path, verify: Verify, spawn: Any
) -> None:
    layout = tmp_path / "layout"
    models = [tmp_path / f"model{number}" for number in range(4)]
    for model in models:
        model.mkdir()
        (model / "weights").write_bytes(model.name.encode())
    digests = [packed(model, tmp_path / "alone", model.name).digest for model in models]
    answers = at_once(spawn, [(model, layout, "v1") for model in models])
    (winner,) = verify(layout).tags.values()
    assert answers == [digest if digest == winner else "TagTaken" for digest in digests]
    assert sorted(path.name for path in (layout / "blobs" / "sha256").iterdir()) == sorted(
        digest.removeprefix("sha256:") for digest in verify(layout).reached
    ), "the losers left no blobs"


# VmHWM and not ru_maxrss: the latter starts at the size of the process that started this one.
MEASURED = (
    PACK
    + """
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
packed(*map(Path, sys.argv[1:]))
print(peak() - before)
"""
)


def test_memory_does_not_grow_with_the_model(tmp_path: Path, spawn: Any) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model" / "weights").open("wb") as file:
        file.truncate(300 << 20)
    output, errors = spawn(MEASURED, tmp_path / "model", tmp_path / "layout").communicate()
    assert output, errors
    assert int(output) < 40 << 10  # KiB
    shutil.rmtree(tmp_path / "layout")  # pytest keeps the folders of the last three runs

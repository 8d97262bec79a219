import hashlib
import io
import os
import tarfile
from pathlib import Path

from tasks.artifact import Artifact, ArtifactFile
from tasks.artifacts.reading import reading
from tasks.artifacts.scan import scan
from tasks.oci.layer import Layer


def tar_of(directory: Path) -> bytes:
    artifact = scan(directory)
    with reading(artifact) as read:
        return b"".join(Layer(artifact, read).stream())


def members_of(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        return archive.getmembers()


def test_holds_every_file_under_models_with_its_content(model: Path, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(model)), mode="r:") as archive:
        found = {
            member.name: None if (file := archive.extractfile(member)) is None else file.read()
            for member in archive.getmembers()
        }
    wanted = {
        f"models/{path.relative_to(model)}": None if path.is_dir() else path.read_bytes()
        for path in model.rglob("*")
    }
    assert found == {"models": None, **wanted}


def test_headers_say_nothing_about_the_machine(model: Path) -> None:
    for path in model.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1e9, 1e9))
    for member in members_of(tar_of(model)):
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
        assert member.mode == (0o755 if member.isdir() else 0o644)


def test_is_sorted_by_the_bytes_of_the_path_and_folders_come_before_their_content(tmp_path: Path) -> None:
    for name in ("é", "b/x", "z", "b.txt", "b/B", "C"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [member.name for member in members_of(tar_of(tmp_path))]
    assert names == ["models", *(f"models/{name}" for name in ("C", "b", "b.txt", "b/B", "b/x", "z", "é"))]


def test_keeps_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nothing").mkdir()
    assert "models/nothing" in [member.name for member in members_of(tar_of(tmp_path))]


def test_a_file_of_nine_gibibytes_has_its_size_in_the_header() -> None:
    size = 9 << 30
    artifact = Artifact("file:///nowhere", (ArtifactFile("weights", size, "0" * 64),))
    pieces = Layer(artifact, lambda file: iter(())).stream()
    next(pieces)
    header = tarfile.TarInfo.frombuf(next(pieces), "utf-8", "strict")
    assert (header.name, header.size) == ("models/weights", size)


def test_the_bytes_are_those_of_every_other_version(model: Path) -> None:
    # The layer is what nodes have pulled: other bytes for the same model make all of them pull it again.
    (model / "nothing").mkdir()
    content = tar_of(model)
    digest = "3fa715c7f5b5ce0d3d82302b3803278d3079d9a5298e8a185c581d1a02e3fe5c"
    assert (len(content), hashlib.sha256(content).hexdigest()) == (12800, digest)


def test_the_descriptor_is_the_one_of_the_stream(model: Path) -> None:
    artifact = scan(model)
    with reading(artifact) as read:
        layer = Layer(artifact, read)
        content = b"".join(layer.stream())
        found = layer.descriptor()
    assert (found.digest, found.size) == (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))

import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tasks.artifacts.keep import Run, check_store, find, keep
from tasks.artifacts.reading import reading
from tasks.errors import ArtifactFailed
from tests.system.testbed.versitygw import VersityGateway

PART = 5 << 20  # bytes; S3 takes no smaller part but the last


@pytest.fixture
def s3(object_store: VersityGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in object_store.client_environment().items():
        monkeypatch.setenv(name, value)
    client = boto3.Session().client("s3")  # the default session would keep the first credentials
    yield client
    client.close()


@pytest.fixture
def bucket(object_store: VersityGateway) -> str:
    return object_store.bucket(f"models-{secrets.token_hex(4)}")


def test_an_object_is_read_whole_and_in_part(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="wine/1/model", Body=b"0123456789", Metadata={"release-id": "wine-1"})

    whole = s3.get_object(Bucket=bucket, Key="wine/1/model")
    assert (whole["Body"].read(), whole["Metadata"]) == (b"0123456789", {"release-id": "wine-1"})
    part = s3.get_object(Bucket=bucket, Key="wine/1/model", Range="bytes=2-4")
    assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")


def test_an_object_that_changed_is_not_replaced(s3: Any, bucket: str) -> None:
    seen = s3.put_object(Bucket=bucket, Key="champion", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="champion", Body=b"2", IfMatch=seen)

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="champion", Body=b"3", IfMatch=seen)

    assert s3.get_object(Bucket=bucket, Key="champion")["Body"].read() == b"2"


def test_an_object_is_made_once(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="release", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="release", Body=b"2", IfNoneMatch="*")


def test_an_upload_in_parts_appears_when_it_is_complete(s3: Any, bucket: str) -> None:
    upload = {"Bucket": bucket, "Key": "model"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    parts = []
    for number, body in enumerate([b"a" * PART, b"b"], 1):
        etag = s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)

    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    assert s3.get_object(Bucket=bucket, Key="model")["Body"].read() == b"a" * PART + b"b"


def test_a_deleted_version_can_still_be_read(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="model", Body=b"1")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="model")

    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="model")
    assert s3.get_object(Bucket=bucket, Key="model", VersionId=version)["Body"].read() == b"1"


@pytest.mark.parametrize(
    ("variable", "answer"),
    [("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"), ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId")],
)
def test_a_wrong_key_is_refused(
    s3: Any, bucket: str, variable: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, secrets.token_hex(10))
    stranger = boto3.Session().client("s3")
    with pytest.raises(ClientError, match=answer):
        stranger.list_objects_v2(Bucket=bucket)
    stranger.close()


def test_objects_outlive_a_crash(s3: Any, object_store: VersityGateway, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="model", Body=b"1")
    object_store.kill()
    object_store.start().wait()
    assert s3.get_object(Bucket=bucket, Key="model")["Body"].read() == b"1"


class TestKeeping:
    """Modelflight's own artifact store, in this bucket."""

    @pytest.fixture
    def run(self) -> Run:
        return Run("wine", uuid.uuid4(), "a" * 64)

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        (tmp_path / "model" / "1").mkdir(parents=True)
        (tmp_path / "model" / "1" / "weights.bin").write_bytes(secrets.token_bytes(PART * 2))
        (tmp_path / "model" / "empty").touch()
        return tmp_path / "model"

    def test_what_was_kept_is_found_and_read_as_it_was(
        self, s3: Any, bucket: str, run: Run, model: Path
    ) -> None:
        store = f"s3://{bucket}/runs"
        check_store(store)
        kept = keep(store, run, model, {"accuracy": 0.9})

        assert find(store, run) == keep(store, run, model, {"accuracy": 0.9}) == kept
        with reading(kept.artifact) as read:
            contents = {file.path: b"".join(read(file)) for file in kept.artifact.files}
        assert contents == {name: (model / name).read_bytes() for name in ("1/weights.bin", "empty")}

    def test_a_file_that_was_replaced_is_found_out(self, s3: Any, bucket: str, run: Run, model: Path) -> None:
        kept = keep(f"s3://{bucket}", run, model, {})
        file = next(file for file in kept.artifact.files if file.size)
        key = f"{kept.artifact.address.removeprefix(f's3://{bucket}/')}/{file.path}"
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(file.size))

        with reading(kept.artifact) as read, pytest.raises(ArtifactFailed, match=r"weights\.bin"):
            list(read(file))

    def test_wrong_credentials_and_a_missing_bucket_are_told_before_training(
        self, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ArtifactFailed, match="no-such-bucket"):
            check_store("s3://no-such-bucket/runs")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(ArtifactFailed, match=r"(?i)credentials|denied|signature") as told:
            check_store(f"s3://{bucket}/runs")
        assert "wrong" not in str(told.value)

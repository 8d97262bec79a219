"""What goes wrong with a store is told with its cause and the next step, and whether a retry can help."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from tasks.artifacts.keep import Run, check_store, find, keep
from tasks.artifacts.objects import open_objects
from tasks.artifacts.reading import reading
from tasks.errors import AddressInvalid, ArtifactFailed, ArtifactsUnreachable, ModelflightError
from tests.fakes.object_store import ObjectStore

RUN = Run("wine", UUID(int=7), "ab" * 32)


def told(error: type[ModelflightError], store: str) -> ModelflightError:
    with pytest.raises(error) as caught:
        check_store(store)
    assert caught.value.where
    assert caught.value.why
    assert caught.value.next_step
    assert "the-secret-key" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "address",
    [
        "models",
        "gs://bucket/models",
        "s3://",
        "s3:///prefix",
        "s3://Bucket/prefix",
        "s3://b",
        "s3://AKIA:the-secret-key@bucket/prefix",
        "s3://bucket/prefix?versionId=1",
        "file://host/folder",
        "file:folder",
        "file:///folder?x",
        "file:///a%00b",
    ],
)
def test_what_is_no_address_of_a_store_is_refused(address: str) -> None:
    with pytest.raises(AddressInvalid) as refused:
        open_objects(address)
    assert "the-secret-key" not in str(refused.value)
    assert refused.value.next_step


def test_checking_leaves_nothing_behind(object_store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    check_store(f"s3://{bucket}")
    check_store((tmp_path / "made" / "later").as_uri())
    assert object_store.objects(bucket) == {}
    assert object_store.unfinished(bucket) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_missing_bucket(object_store: ObjectStore) -> None:
    error = told(ArtifactFailed, "s3://nobody-has-made-this/prefix")
    assert error.where == f"s3://nobody-has-made-this/prefix/ at {object_store.address}"
    assert "NoSuchBucket" in error.why
    assert "Make the bucket" in error.next_step


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_missing_credentials(bucket: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable)
    assert "AWS_PROFILE" in told(ArtifactFailed, f"s3://{bucket}").next_step


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_denied_access(object_store: ObjectStore, bucket: str, method: str) -> None:
    object_store.refuse(method, 403, "AccessDenied")
    error = told(ArtifactFailed, f"s3://{bucket}")
    assert "AccessDenied" in error.why
    assert "s3:PutObject" in error.next_step


def test_a_bucket_of_another_region(object_store: ObjectStore, bucket: str) -> None:
    object_store.refuse("GET", 400, "AuthorizationHeaderMalformed")
    assert "AWS_REGION" in told(ArtifactFailed, f"s3://{bucket}").next_step


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_store_may_answer_later_and_is_asked_once(
    object_store: ObjectStore, bucket: str, status: int
) -> None:
    object_store.refuse("GET", status, "SlowDown")
    object_store.requests.clear()
    assert "SlowDown" in told(ArtifactsUnreachable, f"s3://{bucket}").why
    assert len(object_store.requests) == 1  # Prefect's tasks are the ones that try again


def test_an_endpoint_where_nothing_answers(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    error = told(ArtifactsUnreachable, f"s3://{bucket}")
    assert "http://127.0.0.1:9" in error.where
    assert "AWS_ENDPOINT_URL_S3" in error.next_step


def test_an_endpoint_that_is_no_address(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not an endpoint")
    told(ArtifactFailed, f"s3://{bucket}")


def test_the_region_is_the_one_that_other_aws_programs_use(
    object_store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with open_objects(f"s3://{bucket}") as objects:
        assert objects.client.meta.region_name == "ap-southeast-2"


def test_a_file_that_was_replaced_is_not_even_begun(
    object_store: ObjectStore, bucket: str, model: Path
) -> None:
    kept = keep(f"s3://{bucket}", RUN, model, {}).artifact
    file = next(file for file in kept.files if file.path == "model.joblib")
    key = f"{kept.address.removeprefix(f's3://{bucket}/')}/{file.path}"
    with object_store.client() as client:
        client.put_object(Bucket=bucket, Key=key, Body=b"another")
    with reading(kept) as read, pytest.raises(ArtifactFailed, match="was replaced") as changed:
        next(read(file))
    assert "PreconditionFailed" in changed.value.why
    with object_store.client() as client:
        client.delete_object(Bucket=bucket, Key=key)
    with reading(kept) as read, pytest.raises(ArtifactFailed, match="NoSuchKey") as gone:
        next(read(file))
    assert "--attempt" in gone.value.next_step


def test_a_connection_that_is_cut_may_hold_the_next_time(
    object_store: ObjectStore, bucket: str, model: Path
) -> None:
    kept = keep(f"s3://{bucket}", RUN, model, {}).artifact
    file = next(file for file in kept.files if file.path == "model.joblib")
    object_store.cut_after = 1000
    with reading(kept) as read, pytest.raises(ArtifactsUnreachable):
        list(read(file))
    object_store.behave()
    with reading(kept) as read:
        assert b"".join(read(file)) == (model / "model.joblib").read_bytes()


def test_an_upload_in_parts_that_fails_is_taken_back(
    object_store: ObjectStore, bucket: str, model: Path
) -> None:
    with (model / "large").open("wb") as file:
        file.truncate((16 << 20) + 1)
    object_store.refuse("PUT", 503, "SlowDown")
    with pytest.raises(ArtifactsUnreachable):
        keep(f"s3://{bucket}", RUN, model, {})
    object_store.behave()
    assert object_store.unfinished(bucket) == 0
    assert find(f"s3://{bucket}", RUN) is None
    kept = keep(f"s3://{bucket}", RUN, model, {}).artifact
    large = next(file for file in kept.files if file.path == "large")
    with reading(kept) as read:
        assert sum(map(len, read(large))) == (16 << 20) + 1


@pytest.mark.parametrize("above", ["a file", "a file/below"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, above: str) -> None:
    (tmp_path / "a file").touch()
    assert "Not a directory" in told(ArtifactFailed, (tmp_path / above).as_uri()).why


# VmHWM and not ru_maxrss: the latter starts at the size of the process that started this one.
MEASURED = """
import sys
from pathlib import Path
from uuid import UUID
from tasks.artifacts.keep import Run, keep, find
from tasks.artifacts.reading import reading
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
store, model = sys.argv[1:]
run = Run("wine", UUID(int=7), "ab" * 32)
find(store, run)  # loads boto3
before = peak()
kept = keep(store, run, Path(model), {}).artifact
with reading(kept) as read:
    for _ in read(kept.files[0]):
        pass
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_model(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    with (tmp_path / "large" / "weights").open("wb") as file:
        file.truncate(300 << 20)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, f"s3://{bucket}", str(tmp_path / "large")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    assert int(done.stdout) < 100 << 10  # KiB: a part of 16 MiB, a few times over

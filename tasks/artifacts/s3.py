"""Artifacts in an S3 bucket, on AWS or on what speaks its protocol: addresses `s3://bucket/prefix`.

Credentials, region and endpoint come from the keyring, else as boto3 finds them: environment, profiles,
container, instance.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tasks.address import redact
from tasks.artifacts.s3_fault import CHANGED, GONE, SETTINGS, code_of, reported
from tasks.chunks import in_chunks
from tasks.errors import AddressInvalid, ArtifactFailed, ModelflightError
from tasks.keyring import AwsAccess, held

_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^?#]*))?")
_PIECE = 1 << 20  # bytes read at a time
_PART = 16 << 20  # bytes of an upload's part
_PARTS = 10_000  # the most that an upload may have: AmazonS3/latest/userguide/qfacts.html


def open_bucket(address: str) -> AbstractContextManager["Bucket"]:
    """The objects of a bucket, below the prefix; entering raises ArtifactFailed for AWS settings of no use.

    Raises:
        AddressInvalid: it names no bucket, or something besides bucket and prefix.
    """
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise AddressInvalid(
            "The bucket for artifacts cannot be used.",
            where=redact(address),
            why="It is no name of a bucket with an optional prefix.",
            next_step="Write s3://bucket/prefix; credentials and endpoint are AWS settings, not part of it.",
        )
    return _opened(found[1], (found[2] or "").strip("/"))


@contextmanager
def _opened(bucket: str, prefix: str) -> Iterator["Bucket"]:
    what, where = "Artifacts cannot be stored in S3.", f"s3://{bucket}"
    try:
        with reported(what, where):
            client = _client(bucket)
    except ValueError as error:  # an endpoint that is no URL
        raise ArtifactFailed(what, where, redact(str(error)), SETTINGS) from error
    with closing(client):
        yield Bucket(client, bucket, f"{prefix}/" if prefix else "")


def _client(bucket: str) -> Any:
    import boto3
    from botocore.config import Config

    access = held().buckets.get(bucket) or AwsAccess(boto3.Session)
    session = access.session()
    # boto3 alone reads AWS_DEFAULT_REGION only, all of AWS's newer libraries AWS_REGION.
    region = os.environ.get("AWS_REGION") or session.region_name
    # Prefect's tasks repeat what can be repeated; a second layer below would multiply the tries.
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
    return session.client("s3", **{"region_name": region, **access.client_options, "config": config})


@dataclass(frozen=True)
class Bucket:
    """Objects of `bucket` whose keys begin with `prefix`. Their versions are ETags."""

    client: Any
    bucket: str
    prefix: str

    def check(self) -> None:
        """See `Objects`: lists the bucket, begins an upload and takes it back."""
        with reported("Artifacts cannot be stored in this bucket.", self._where("")):
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
            target = self._target(".modelflight-check")
            upload = self.client.create_multipart_upload(**target)["UploadId"]
            self.client.abort_multipart_upload(**target, UploadId=upload)

    def version(self, key: str, size: int) -> str | None:
        """See `Objects`."""
        from botocore.exceptions import ClientError

        with reported("A stored file cannot be looked up.", self._where(key)):
            try:
                found = self.client.head_object(**self._target(key))
                return str(found["ETag"]) if found["ContentLength"] == size else None
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise
        return None

    def get(self, key: str) -> bytes | None:
        """See `Objects`."""
        from botocore.exceptions import ClientError

        with reported("A stored file cannot be read.", self._where(key)):
            try:
                return self._content(key)
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise
        return None

    def _content(self, key: str) -> bytes:
        return bytes(self.client.get_object(**self._target(key))["Body"].read())

    def read(self, key: str, version: str) -> Iterator[bytes]:
        """See `Objects`."""
        with (
            reported("A stored file cannot be read.", self._where(key)),
            closing(self.client.get_object(**self._target(key), IfMatch=version)["Body"]) as body,
        ):
            yield from body.iter_chunks(_PIECE)

    def write(self, key: str, pieces: Iterable[bytes], size: int) -> str:
        """See `Objects`; memory holds one part of the upload, an upload that fails is taken back."""
        target = self._target(key)
        parts = (b"".join(chunk) for chunk in in_chunks(pieces, max(_PART, -(-size // _PARTS))))
        first = next(parts, b"")
        with reported("A file cannot be stored.", self._where(key)):
            if len(first) == size:
                return str(self.client.put_object(**target, Body=first)["ETag"])
            upload = {**target, "UploadId": self.client.create_multipart_upload(**target)["UploadId"]}
            try:
                tags = [self._upload_part(upload, 1, first)]
                tags += [self._upload_part(upload, number, part) for number, part in enumerate(parts, 2)]
                done = self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": tags})
            except BaseException:
                with (
                    suppress(ModelflightError),
                    reported("An upload cannot be taken back.", self._where(key)),
                ):
                    self.client.abort_multipart_upload(**upload)
                raise
        return str(done["ETag"])

    def _upload_part(self, upload: dict[str, Any], number: int, part: bytes) -> dict[str, Any]:
        answer = self.client.upload_part(**upload, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def create(self, key: str, content: bytes) -> bytes:
        """See `Objects`."""
        from botocore.exceptions import ClientError

        with reported("A file cannot be stored.", self._where(key)):
            try:
                self.client.put_object(**self._target(key), Body=content, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) not in CHANGED:
                    raise
                return self._content(key)
        return content

    def _target(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self.prefix + key}

    def _where(self, key: str) -> str:
        endpoint = redact(self.client.meta.endpoint_url)
        return f"s3://{self.bucket}/{self.prefix}{key} at {endpoint}"

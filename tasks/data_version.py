"""Versions of data at addresses, asked for without reading the data."""

import httpx

from tasks.address import redact
from tasks.artifacts.s3 import open_bucket
from tasks.artifacts.s3_fault import reported
from tasks.errors import ArtifactFailed, DataUnreachable
from tasks.inputs import Version

_WHAT = "The version of the data cannot be found out."
_NEXT_STEP = "Check the address in modelflight.yaml, `data`, and the network; then try again."
_TIMEOUT = 30  # seconds
_MAY_PASS = (408, 425, 429)


def version_of(address: str) -> Version:
    """The version of the data at `address`, `https://...` or `s3://bucket/key`.

    For S3 that is the object's version, or its ETag where the bucket keeps none; else the ETag (RFC 9110,
    8.8.3), or when it was last modified. Without any of them, or where the answer is a refusal, it is
    unknown.

    Raises:
        DataUnreachable, ArtifactsUnreachable: there is no answer, or none that lasts.
    """
    return _of_object(address) if address.startswith("s3://") else _of_page(address)


def _of_page(address: str) -> Version:
    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
            # A compressed answer has an ETag of its own.
            answer = client.head(address, headers={"Accept-Encoding": "identity"})
    except httpx.HTTPError as error:
        raise DataUnreachable(_WHAT, redact(address), redact(str(error)), _NEXT_STEP) from None
    if answer.status_code >= 500 or answer.status_code in _MAY_PASS:
        raise DataUnreachable(_WHAT, redact(address), f"It answers {answer.status_code}.", _NEXT_STEP)
    if not answer.is_success:
        return Version(unknown=f"it answers {answer.status_code} to HEAD")
    if tag := answer.headers.get("etag"):
        return Version(f"etag {tag}")
    if modified := answer.headers.get("last-modified"):
        return Version(f"{modified}, {answer.headers.get('content-length', 'unknown')} bytes")
    return Version(unknown="it sends no ETag and no Last-Modified")


def _of_object(address: str) -> Version:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        with open_bucket(f"s3://{bucket}") as opened, reported(_WHAT, address):
            found = opened.client.head_object(Bucket=bucket, Key=key)
    except ArtifactFailed as error:
        return Version(unknown=error.why or error.what)
    if found.get("VersionId", "null") != "null":
        return Version(f"version {found['VersionId']}")
    return Version(f"etag {found['ETag']}")

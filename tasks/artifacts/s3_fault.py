"""What S3 and boto3 complain of, told as errors of Modelflight."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.address import redact
from tasks.errors import ArtifactFailed, ArtifactsUnreachable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# A HEAD has no body, so that boto3 has the status alone for a code.
GONE = ("NoSuchKey", "404")
CHANGED = ("PreconditionFailed", "412")
SETTINGS = "Correct the AWS settings (the environment, ~/.aws/config)."
_CREDENTIALS = (
    "Set credentials as the AWS command line takes them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "AWS_PROFILE, or a role), then run this again."
)
_NEXT_STEPS = {
    "NoSuchBucket": "Make the bucket, or correct MODELFLIGHT_ARTIFACTS or AWS_ENDPOINT_URL_S3.",
    "AccessDenied": "Allow s3:ListBucket, s3:GetObject, s3:PutObject and s3:AbortMultipartUpload there.",
    "403": "Allow s3:ListBucket, s3:GetObject, s3:PutObject and s3:AbortMultipartUpload there.",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "ExpiredToken": "Renew the credentials, then run this again.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "PermanentRedirect": "Set AWS_REGION to the bucket's region.",
    "AuthorizationHeaderMalformed": "Set AWS_REGION to the bucket's region.",
    **dict.fromkeys(GONE, "Restore it, or release again with the next --attempt."),
    **dict.fromkeys(CHANGED, "Find out who writes there, and release again with the next --attempt."),
}
_CHECK = "Check AWS_ENDPOINT_URL_S3, the bucket and the store's log."
_WAIT = "Check AWS_ENDPOINT_URL_S3 and the network; a repeated release goes on where this one stopped."


def code_of(error: "ClientError") -> str:
    """S3's code for what went wrong, such as NoSuchBucket."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def reported(what: str, where: str) -> Iterator[None]:
    """Raises what boto3 raises in the block as ArtifactsUnreachable or ArtifactFailed."""
    from botocore import exceptions as aws

    try:
        yield
    except aws.ClientError as error:
        raise _refused(error, what, where) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError) as error:
        raise ArtifactFailed(what, where, str(error), _CREDENTIALS) from error
    except aws.SSLError as error:
        certificate = "Name the certificate authority's file in AWS_CA_BUNDLE."
        raise ArtifactFailed(what, where, redact(str(error)), certificate) from error
    except (
        aws.ConnectionError,
        aws.HTTPClientError,
        aws.IncompleteReadError,
        aws.FlexibleChecksumError,
    ) as error:
        raise ArtifactsUnreachable(what, where, redact(str(error)), _WAIT) from error
    except aws.BotoCoreError as error:
        raise ArtifactFailed(what, where, redact(str(error)), SETTINGS) from error


def _refused(error: "ClientError", what: str, where: str) -> ArtifactFailed | ArtifactsUnreachable:
    code, details = code_of(error), error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    why = f"{code}: {redact(str(details.get('Message', '')))}"
    if (
        (status >= 500 and status != 501)
        or status in (408, 409, 429)
        or code in ("RequestTimeout", "SlowDown", "Throttling")
    ):
        return ArtifactsUnreachable(what, where, why, _WAIT)
    if code in CHANGED:
        what = "A file of the artifact was replaced after the artifact was made."
    return ArtifactFailed(what, where, why, _NEXT_STEPS.get(code, _CHECK))

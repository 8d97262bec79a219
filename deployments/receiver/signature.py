"""Who sent a delivery: signatures over the raw body, compared in constant time.

https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
https://docs.gitea.com/usage/webhooks
https://docs.gitlab.com/user/project/integrations/webhooks/
https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import secrets as random
import time
from collections.abc import Iterator, Mapping, Sequence

# SHA-1's `X-Hub-Signature: sha1=...` is none of these.
_HEX_HEADERS = ("x-hub-signature-256", "x-hub-signature", "x-gitea-signature", "x-forgejo-signature")
_TOLERANCE = 300  # seconds that a signed time may be away from ours
_AT_ONCE = 2  # secrets: the current and the one before
_NOBODY = random.token_hex()  # takes the place of a secret that is not there, so that both take the same time


def is_signed(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets, two at the most, signed the body or was sent along, as the forges do it."""
    accepted = False
    for index in range(_AT_ONCE):
        known = index < len(secrets)
        secret = secrets[index] if known else _NOBODY
        for offered, expected in _pairs(headers, body, secret):
            accepted |= hmac.compare_digest(offered, expected) and known
    return accepted


def has_signature(headers: Mapping[str, str]) -> bool:
    """Whether anything in the headers is there to tell who sent the body."""
    return any(name in headers for name in (*_HEX_HEADERS, "x-gitlab-token", "webhook-signature"))


def _pairs(headers: Mapping[str, str], body: bytes, secret: str) -> Iterator[tuple[bytes, bytes]]:
    """What the headers offer, and what it has to be."""
    digest = hmac.new(secret.encode(), body, "sha256").hexdigest().encode()
    for header in _HEX_HEADERS:
        if offered := headers.get(header):
            yield _bytes(offered.removeprefix("sha256=")), digest
    if token := headers.get("x-gitlab-token"):
        yield _bytes(token), secret.encode()
    moment = headers.get("webhook-timestamp", "")
    if _is_now(moment):
        signed = _bytes(f"{headers.get('webhook-id', '')}.{moment}.") + body
        expected = base64.b64encode(hmac.digest(_key(secret), signed, "sha256"))
        for offered in headers.get("webhook-signature", "").split(" ")[:4]:
            yield _bytes(offered), b"v1," + expected


def _bytes(header: str) -> bytes:
    return header.encode("latin-1", "replace")  # as it came; text of other characters cannot be compared


def _is_now(moment: str) -> bool:
    return moment.isascii() and moment.isdecimal() and abs(time.time() - int(moment[:20])) < _TOLERANCE


def _key(secret: str) -> bytes:
    """A secret of Standard Webhooks is `whsec_` and base64; others stand for themselves."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()

"""What registries and the way to them complain of, told as errors of Modelflight."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tasks.address import redact
from tasks.errors import ModelflightError, RegistryRefused, RegistryUnreachable

_BUSY = (408, 416, 425, 429)  # 416: the session holds another number of bytes than were sent
_LOG_IN = "Log in with a user who may push there: docker login, whose configuration file is read."
_NEXT_STEPS = {
    401: _LOG_IN,
    403: _LOG_IN,
    404: "Make the repository in the registry, or correct `image:` in modelflight.yaml.",
}


@contextmanager
def reported(what: str, where: str) -> Iterator[None]:
    """Raises what httpx raises in the block as RegistryRefused or RegistryUnreachable."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise RegistryRefused(
            what, where, redact(str(error)), "Check the addresses that it answers with."
        ) from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        why = redact(str(error)) or type(error).__name__
        if _is_untrusted(error):
            trust = "Name the certificate authority's file in SSL_CERT_FILE."
            raise RegistryRefused(what, where, why, trust) from error
        wait = "Check the registry and the network; a repeated release goes on where this one stopped."
        raise RegistryUnreachable(what, where, why, wait) from error


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether the other side's certificate is behind `error`."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def refusal(
    status: int, content: bytes, what: str, where: str, *, in_session: bool = False
) -> ModelflightError:
    """The error for an answer that was not wanted.

    `in_session` says that an upload was going on: when the registry has forgotten it, a new one can succeed.
    """
    why = " ".join([f"HTTP {status}", *_complaints(content)])
    if (status >= 500 and status != 501) or status in _BUSY or (in_session and status == 404):
        return RegistryUnreachable(what, where, why, "Run this again later.")
    return RegistryRefused(
        what, where, why, _NEXT_STEPS.get(status, "Check the registry's rules and its log.")
    )


def _complaints(content: bytes) -> list[str]:
    """The codes and messages of the answer (distribution-spec 1.1, "Error Codes")."""
    try:
        errors = json.loads(content)["errors"]
        return [redact(f"{error['code']}: {error.get('message', '')}"[:300]) for error in errors[:3]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []

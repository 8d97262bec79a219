"""The commit message of a bump; pure."""

import re
from collections.abc import Mapping

from tasks.errors import InvalidInput
from tasks.release import ReleaseId

RELEASE_ID = "Release-Id"
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def commit_message(subject: str, release_id: ReleaseId | None, trailers: Mapping[str, str]) -> str:
    """Subject, a blank line, and the trailers, of which `Release-Id`, if there is one, is the first.

    Raises:
        InvalidInput: the subject or a trailer has a line break or another control character, the subject is
            empty, or a trailer's key is none (see git-interpret-trailers) or is `Release-Id`.
    """
    if not subject.strip() or _CONTROL.search(subject):
        raise _invalid("subject", f"{subject!r} is empty or has a line break or another control character.")
    for key, value in trailers.items():
        if not _KEY.fullmatch(key) or key.lower() == RELEASE_ID.lower():
            raise _invalid(f"trailer {key!r}", "The key is not made of letters, digits and `-`, or is taken.")
        if _CONTROL.search(value):
            raise _invalid(f"trailer {key!r}", f"{value!r} has a line break or another control character.")
    first = {RELEASE_ID: release_id} if release_id else {}
    lines = [f"{key}: {value}\n" for key, value in {**first, **trailers}.items()]
    return "".join([f"{subject.strip()}\n", "\n" if lines else "", *lines])


def _invalid(where: str, why: str) -> InvalidInput:
    return InvalidInput("The commit message cannot be written.", where=where, why=why)


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters, as a trailer takes it."""
    return " ".join(_CONTROL.sub(" ", text).split())

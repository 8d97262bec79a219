"""OCI descriptors (image-spec 1.1, descriptor.md), and the small JSON blobs that they point at."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from tasks.release import Digest

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"


def canonical_json(document: object) -> bytes:
    """The one spelling of `document` in UTF-8: sorted keys, no spaces, so that equal content has one digest.

    Raises:
        UnicodeEncodeError: a string holds a lone surrogate.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def json_object(content: bytes) -> dict[str, Any]:
    """The JSON object that `content` spells.

    Raises:
        ValueError: it is no JSON, or no object.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    return document


@dataclass(frozen=True)
class Descriptor:
    """What identifies a blob: its media type, its digest and its `size` in bytes."""

    media_type: str
    digest: Digest
    size: int

    def as_json(self, **more: object) -> dict[str, object]:
        """The descriptor as JSON; `more` holds optional properties such as `platform` or `annotations`."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}

    @classmethod
    def from_json(cls, document: object) -> Self:
        """The descriptor that `document` holds; optional properties are left out.

        Raises:
            ValueError: a required property is missing or malformed.
        """
        match document:
            case {"mediaType": str(media_type), "digest": str(digest), "size": int(size)} if size >= 0:
                return cls(media_type, Digest(digest), size)
        raise ValueError(f"no descriptor: {document!r:.200}")


@dataclass(frozen=True)
class Blob:
    """A blob small enough to be held in memory."""

    media_type: str
    content: bytes

    @classmethod
    def of_json(cls, media_type: str, document: Mapping[str, object]) -> Self:
        """The blob that holds `document` in canonical JSON."""
        return cls(media_type, canonical_json(document))

    @cached_property
    def descriptor(self) -> Descriptor:
        """The descriptor that points at this blob."""
        digest = Digest(f"sha256:{hashlib.sha256(self.content).hexdigest()}")
        return Descriptor(self.media_type, digest, len(self.content))

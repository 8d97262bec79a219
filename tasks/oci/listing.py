"""The `manifests` of an index (image-spec 1.1): of a layout's `index.json`, or of what lists referrers.

An entry is kept as the JSON object it is, so that properties set by other tools survive.
"""

from collections.abc import Mapping, Sequence

from tasks.errors import TagTaken
from tasks.oci.descriptor import MANIFEST, Blob, Descriptor, json_object
from tasks.release import Digest

REF_NAME = "org.opencontainers.image.ref.name"

Entry = Mapping[str, object]


def entries_of(index: Mapping[str, object]) -> list[Entry]:
    """The entries of an index.

    Raises:
        ValueError: its manifests are no list of objects.
    """
    entries = index.get("manifests")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("its manifests are no list of objects")
    return entries


def find(entries: Sequence[Entry], digest: Digest, media_type: str) -> Descriptor | None:
    """The descriptor of the first entry with this digest and media type.

    Raises:
        ValueError: that entry is malformed.
    """
    for entry in entries:
        if (entry.get("digest"), entry.get("mediaType")) == (digest, media_type):
            return Descriptor.from_json(entry)
    return None


def with_tag(entries: Sequence[Entry], tag: str, image: Descriptor, layout: str) -> list[Entry]:
    """The entries once `tag` names `image`; the same entries when it does already.

    Raises:
        TagTaken: the tag names another digest; `layout` tells where.
    """
    named = {str(entry.get("digest")) for entry in entries if _tag(entry) == tag}
    if others := sorted(named - {image.digest}):
        raise TagTaken(
            f"Tag {tag} already names another image.",
            layout,
            f"it names {', '.join(others)}, and this image is {image.digest}",
            "Tags never move: take another tag, or release with the next --attempt.",
        )
    return list(entries) if named else [*entries, image.as_json(annotations={REF_NAME: tag})]


def with_referrer(entries: Sequence[Entry], manifest: Blob) -> list[Entry]:
    """The entries once they list the referrer `manifest`, without a tag; the same when they do already.

    An entry says of its referrer what distribution-spec 1.1 asks for, "Listing Referrers".
    """
    if any(entry.get("digest") == manifest.descriptor.digest for entry in entries):
        return list(entries)
    document = json_object(manifest.content)
    said = {key: document[key] for key in ("artifactType", "annotations") if document.get(key)}
    return [*entries, manifest.descriptor.as_json(**said)]


def of_type(entries: Sequence[Entry], artifact_type: str) -> list[Descriptor]:
    """The descriptors of the referrers of this type.

    Raises:
        ValueError: one of them is malformed.
    """
    return [
        Descriptor.from_json(entry)
        for entry in entries
        if (entry.get("mediaType"), entry.get("artifactType")) == (MANIFEST, artifact_type)
    ]


def _tag(entry: Entry) -> object:
    annotations = entry.get("annotations")
    return annotations.get(REF_NAME) if isinstance(annotations, Mapping) else None

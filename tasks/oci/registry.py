"""One repository of an image registry: what distribution-spec 1.1 knows, a method each."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx

from tasks.chunks import in_chunks
from tasks.errors import ImageCorrupt, RegistryRefused, RegistryUnreachable
from tasks.oci.connection import Answer, Connection
from tasks.oci.descriptor import INDEX, MANIFEST, Blob, Descriptor, json_object
from tasks.oci.listing import Entry, entries_of
from tasks.oci.registry_fault import reported
from tasks.release import Digest

_DOCKER = "application/vnd.docker.distribution.manifest"
_CHUNK = 16 << 20  # bytes sent in one request


@dataclass(frozen=True)
class Registry:
    """The repository at the other end of `connection`.

    Methods raise RegistryRefused and RegistryUnreachable, and ImageCorrupt for answers that contradict what
    was sent.
    """

    connection: Connection

    @property
    def address(self) -> str:
        """The repository's name, with the registry's host."""
        return str(self.connection.repository)

    def manifest(self, name: str) -> bytes | None:
        """The manifest or index under a tag or digest, as it came; None where there is none."""
        what = f"The image {name} cannot be looked up."
        # Older types too: from a registry that converts none, a tag of theirs would seem to be free.
        accept = {"Accept": f"{INDEX}, {MANIFEST}, {_DOCKER}.list.v2+json, {_DOCKER}.v2+json"}
        answer = self.connection.ask(what, "GET", f"manifests/{name}", 200, 404, headers=accept)
        return answer.content if answer.status == 200 else None

    def put_manifest(self, blob: Blob, name: str) -> bool:
        """Stores a manifest or index under a tag or its digest.

        Returns:
            Whether the registry lists it with its subject's referrers, which only the referrers API does.
        """
        what = f"The manifest {name} cannot be pushed."
        headers = {"Content-Type": blob.media_type}
        content = [blob.content]
        answer = self.connection.ask(what, "PUT", f"manifests/{name}", 201, headers=headers, content=content)
        self._check_digest(answer, blob.descriptor.digest)
        return "OCI-Subject" in answer.headers

    def has_blob(self, digest: Digest) -> bool:
        """Whether the repository has this blob."""
        what = "A blob cannot be looked up."
        return self.connection.ask(what, "HEAD", f"blobs/{digest}", 200, 404).status == 200

    def blob(self, digest: Digest) -> bytes | None:
        """The content of a small blob, as it came; None where there is none."""
        answer = self.connection.ask("A blob cannot be read.", "GET", f"blobs/{digest}", 200, 404)
        return answer.content if answer.status == 200 else None

    def stream(self, digest: Digest) -> Iterator[bytes]:
        """The content of a blob of any size in pieces, as it comes."""
        return self.connection.download(f"The blob {digest} cannot be read.", f"blobs/{digest}")

    def upload(self, descriptor: Descriptor, pieces: Iterable[bytes]) -> None:
        """Sends a blob in chunks, of which memory holds two at a time."""
        what = f"The blob {descriptor.digest} cannot be pushed."
        location, shortest = self._begin_upload(what)
        chunks, offset = in_chunks(pieces, max(_CHUNK, shortest)), 0
        last = next(chunks, ())
        for following in chunks:
            location = _location(self._send(what, "PATCH", location, 202, offset, last), what)
            offset, last = offset + sum(map(len, last)), following
        location = location.copy_merge_params({"digest": descriptor.digest})
        self._check_digest(self._send(what, "PUT", location, 201, offset, last), descriptor.digest)

    def _send(
        self, what: str, method: str, location: httpx.URL, wanted: int, offset: int, chunk: Sequence[bytes]
    ) -> Answer:
        headers = {"Content-Type": "application/octet-stream"}
        if method == "PATCH" or offset:  # a blob that fits into one request has no range
            headers["Content-Range"] = f"{offset}-{offset + sum(map(len, chunk)) - 1}"
        return self.connection.ask(
            what, method, location, wanted, headers=headers, content=chunk, in_session=True
        )

    def check_upload(self) -> None:
        """Raises unless blobs may be pushed: begins an upload and takes it back."""
        what = "Images cannot be pushed to this repository."
        location, _ = self._begin_upload(what)
        # Not every registry lets go of an upload before its time.
        with suppress(RegistryRefused, RegistryUnreachable):
            self.connection.ask(what, "DELETE", location, 204)

    def _begin_upload(self, what: str) -> tuple[httpx.URL, int]:
        """The upload's address, and the fewest bytes that a chunk of it may have."""
        answer = self.connection.ask(what, "POST", "blobs/uploads/", 202)
        shortest = answer.headers.get("OCI-Chunk-Min-Length", "")
        return _location(answer, what), int(shortest) if shortest.isdecimal() else 0

    def referrers(self, subject: Digest, artifact_type: str) -> list[Entry] | None:
        """The entries of what is attached to `subject`, maybe other types too; None without the API."""
        what = f"What is attached to the image {subject} cannot be looked up."
        page = self.connection.base.join(f"referrers/{subject}").copy_merge_params(
            {"artifactType": artifact_type}
        )
        entries: list[Entry] = []
        while True:
            answer = self.connection.ask(what, "GET", page, 200, 404)
            if answer.status == 404:
                return None
            entries += self.entries(answer.content)
            if "next" not in answer.links:
                return entries
            with reported(what, self.address):
                page = answer.url.join(answer.links["next"]["url"])

    def entries(self, index: bytes) -> list[Entry]:
        """The entries of an index that the registry made or keeps under a tag: no digest vouches for it."""
        try:
            return entries_of(json_object(index))
        except ValueError as error:
            what, next_step = "An index in the registry cannot be read.", "Check that it is a registry."
            raise ImageCorrupt(what, self.address, str(error), next_step) from error

    def _check_digest(self, answer: Answer, wanted: Digest) -> None:
        found = answer.headers.get("Docker-Content-Digest", wanted)
        if found != wanted:
            raise ImageCorrupt(
                "The registry has stored something else than it was sent.",
                self.address,
                f"it answered with the digest {found}, and {wanted} was sent",
                "Check the registry and what stands before it.",
            )


def _location(answer: Answer, what: str) -> httpx.URL:
    """Where an upload goes on, which every answer may change."""
    location, where = answer.headers.get("Location"), str(answer.url.copy_with(query=None))
    if not location:
        why = "it does not say where the upload goes on"
        raise RegistryRefused(what, where, why, "Check that it is a registry.")
    with reported(what, where):
        return answer.url.join(location)

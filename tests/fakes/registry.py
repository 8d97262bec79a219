"""An image registry for tests: distribution-spec 1.1 over HTTP, and misbehaviour on command.

It keeps the specification's rules where real registries let things pass: the order of chunks, digests, blobs
that a manifest names. Everything is in memory.
"""

import base64
import hashlib
import json
import re
import secrets
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

INDEX = "application/vnd.oci.image.index.v1+json"
NAME = r"/v2/(?P<name>[a-z0-9/._-]+)"
DIGEST = r"sha256:[0-9a-f]{64}"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Refusal(Exception):
    """An answer that ends a request."""

    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)


@dataclass
class Registry:
    """What it holds, how it is set up, and how it misbehaves; all of it may be changed while it runs."""

    referrers_api: bool = True
    auth: str = ""  # or basic, or bearer
    users: dict[str, str] = field(default_factory=lambda: {"ada": "pass:wörd"})
    shortest_chunk: int = 0
    page: int = 100  # referrers on one page

    refusals: list[tuple[str, Refusal]] = field(
        default_factory=list
    )  # for the next requests of these methods
    fail_at: int | None = None  # which POST, PATCH or PUT has no success, from 1
    cut_after: int | None = None  # bytes of uploads, then the connection is closed
    forget_after: int | None = None  # chunks, then all uploads are forgotten
    expire_after: int | None = None  # chunks, then all tokens are
    answered_digest: str = ""  # instead of the right one
    token_ends: str = ""  # with this
    altered: bool = False  # whether content is answered with one byte changed
    blobs_at: str = ""  # an address that GETs of blobs are redirected to
    uploads_at: str = ""  # an address that uploads go on at

    repositories: dict[str, Repository] = field(default_factory=lambda: defaultdict(Repository))
    tokens: dict[str, str] = field(default_factory=dict)  # and their scopes
    requests: list[tuple[str, str]] = field(default_factory=list)  # method and path
    authorizations: list[str] = field(default_factory=list)  # the headers that came, empty ones too
    writes: int = 0
    chunks: int = 0
    address: str = ""  # host and port, set when it runs
    scheme: str = "http"

    def made(self, method: str, part: str = "") -> int:
        """How many requests with this method and this part in their path came."""
        return sum(each == method and part in path for each, path in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def handle_any(self) -> None:
        self.path, _, query = self.path.partition("?")
        self.query = {key: values[0] for key, values in parse_qs(query, keep_blank_values=True).items()}
        self.registry.requests.append((self.command, self.path))
        self.registry.authorizations.append(self.headers.get("Authorization", ""))
        self.body = b""
        try:
            self._receive()
            self._misbehave()
            self._route()
        except Refusal as refusal:
            errors = {"errors": [{"code": refusal.code, "message": refusal.code.lower()}]}
            self._answer(refusal.status, json.dumps(errors).encode(), **refusal.headers)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def _receive(self) -> None:
        length, cut = int(self.headers.get("Content-Length", 0)), self.registry.cut_after
        if cut is not None and self.command in ("PATCH", "PUT") and "uploads" in self.path:
            self.registry.cut_after = cut - length
            if cut < length:
                self.rfile.read(cut)
                self.connection.shutdown(2)
                raise ConnectionAbortedError
        self.body = self.rfile.read(length)

    def _misbehave(self) -> None:
        registry = self.registry
        for waiting in registry.refusals:
            if waiting[0] == self.command:
                registry.refusals.remove(waiting)
                raise waiting[1]
        registry.writes += self.command in ("POST", "PATCH", "PUT")
        if registry.writes == registry.fail_at and self.command not in ("GET", "HEAD"):
            raise Refusal(500, "UNKNOWN")
        if self.command == "PATCH":
            registry.chunks += 1
            if registry.chunks == registry.forget_after:
                for repository in registry.repositories.values():
                    repository.uploads.clear()
            if registry.chunks == registry.expire_after:
                registry.tokens.clear()

    def _route(self) -> None:
        routes = {
            r"/v2/": self._base,
            r"/token": self._token,
            rf"{NAME}/blobs/uploads/": self._uploads,
            rf"{NAME}/blobs/uploads/(?P<upload>[0-9a-f]+)": self._upload,
            rf"{NAME}/blobs/(?P<digest>{DIGEST})": self._blob,
            rf"{NAME}/manifests/(?P<reference>[^/]+)": self._manifest,
            rf"{NAME}/referrers/(?P<digest>{DIGEST})": self._referrers,
            rf"{NAME}/tags/list": self._tag_list,
        }
        for pattern, respond in routes.items():
            if found := re.fullmatch(pattern, self.path):
                parts = found.groupdict()
                if self.path != "/token":
                    self._authorize(parts.get("name", ""))
                if "name" in parts:
                    parts["repository"] = self.registry.repositories[parts.pop("name")]
                return respond(**parts)
        raise Refusal(404, "UNSUPPORTED")

    # Authorization

    def _authorize(self, name: str) -> None:
        given = self.headers.get("Authorization", "")
        action = "pull" if self.command in ("GET", "HEAD") else "push"
        match self.registry.auth:
            case "basic" if not self._is_user(given):
                raise Refusal(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="fake"'})
            case "bearer":
                wanted = f"repository:{name}:{'pull' if action == 'pull' else 'pull,push'}"
                granted = self.registry.tokens.get(given.removeprefix("Bearer "), "")
                if not granted.startswith(wanted):
                    realm = f"{self.registry.scheme}://{self.registry.address}/token"
                    challenge = f'Bearer realm="{realm}",service="fake",scope="{wanted}"'
                    raise Refusal(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})

    def _is_user(self, given: str) -> bool:
        scheme, _, encoded = given.partition(" ")
        user, _, password = base64.b64decode(encoded).decode().partition(":") if encoded else ("", "", "")
        return scheme == "Basic" and self.registry.users.get(user) == password

    def _token(self) -> None:
        given = self.headers.get("Authorization", "")
        if given and not self._is_user(given):
            raise Refusal(401, "UNAUTHORIZED")
        scope = self.query["scope"] if given else self.query["scope"].replace(",push", "")
        token = secrets.token_hex(16)
        self.registry.tokens[token] = scope
        self._answer(200, json.dumps({"token": token + self.registry.token_ends}).encode())

    # Blobs

    def _base(self) -> None:
        self._answer(200, b"{}")

    def _blob(self, repository: Repository, digest: str) -> None:
        if digest not in repository.blobs:
            raise Refusal(404, "BLOB_UNKNOWN")
        if self.registry.blobs_at and self.command == "GET":
            return self._answer(307, Location=f"{self.registry.blobs_at}{self.path}")
        return self._content(repository.blobs[digest], digest)

    def _uploads(self, repository: Repository) -> None:
        mounted, source = self.query.get("mount"), self.registry.repositories[self.query.get("from", "")]
        if mounted in source.blobs:
            repository.blobs[mounted] = source.blobs[mounted]
            return self._answer(201, Location=self.path.replace("uploads/", mounted))
        upload = secrets.token_hex(8)
        repository.uploads[upload] = bytearray()
        more = (
            {"OCI-Chunk-Min-Length": str(self.registry.shortest_chunk)}
            if self.registry.shortest_chunk
            else {}
        )
        return self._answer(202, **self._progress(repository, self.path + upload), **more)

    def _upload(self, repository: Repository, upload: str) -> None:
        if upload not in repository.uploads:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN")
        content = repository.uploads[upload]
        match self.command:
            case "GET":
                self._answer(204, **self._progress(repository, self.path))
            case "DELETE":
                del repository.uploads[upload]
                self._answer(204)
            case "PATCH":
                self._append(content, is_last=False)
                self._answer(202, **self._progress(repository, self.path))
            case "PUT":
                self._append(content, is_last=True)
                digest = digest_of(bytes(content))
                if digest != self.query.get("digest"):
                    raise Refusal(400, "DIGEST_INVALID")
                repository.blobs[digest] = bytes(repository.uploads.pop(upload))
                self._answer(201, Location=self.path, **self._digest(digest))

    def _append(self, content: bytearray, *, is_last: bool) -> None:
        found = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range", ""))
        if found and (int(found[1]), int(found[2])) != (len(content), len(content) + len(self.body) - 1):
            raise Refusal(416, "BLOB_UPLOAD_INVALID")
        if not is_last and (not found or len(self.body) < self.registry.shortest_chunk):
            raise Refusal(416 if found else 400, "BLOB_UPLOAD_INVALID")
        content += self.body

    def _progress(self, repository: Repository, path: str) -> dict[str, str]:
        content = repository.uploads[path.rpartition("/")[2]]
        location = f"{self.registry.uploads_at}{path}?_state={secrets.token_hex(4)}"
        return {"Location": location, "Range": f"0-{max(len(content) - 1, 0)}"}

    # Manifests

    def _manifest(self, repository: Repository, reference: str) -> None:
        digest = repository.tags.get(reference, reference)
        if self.command == "PUT":
            return self._put_manifest(repository, reference)
        if digest not in repository.manifests:
            raise Refusal(404, "MANIFEST_UNKNOWN")
        media_type, content = repository.manifests[digest]
        if media_type not in self.headers.get("Accept", ""):  # as registries do that convert nothing
            raise Refusal(404, "MANIFEST_UNKNOWN")
        return self._content(content, digest, **{"Content-Type": media_type})

    def _put_manifest(self, repository: Repository, reference: str) -> None:
        digest, document = digest_of(self.body), json.loads(self.body)
        if re.fullmatch(DIGEST, reference) and reference != digest:
            raise Refusal(400, "DIGEST_INVALID")
        for entry in document.get("manifests", []):
            # What is attached may be listed before or after it is there; an image's parts may not.
            if "platform" in entry and entry["digest"] not in repository.manifests:
                raise Refusal(400, "MANIFEST_BLOB_UNKNOWN")
        for entry in [document.get("config"), *document.get("layers", [])]:
            if entry and entry["digest"] not in repository.blobs:
                raise Refusal(400, "MANIFEST_BLOB_UNKNOWN")
        repository.manifests[digest] = (self.headers["Content-Type"], self.body)
        if reference != digest:
            repository.tags[reference] = digest
        listed = self.registry.referrers_api and "subject" in document
        subject = {"OCI-Subject": document["subject"]["digest"]} if listed else {}
        self._answer(201, Location=self.path, **self._digest(digest), **subject)

    def _referrers(self, repository: Repository, digest: str) -> None:
        if not self.registry.referrers_api:
            raise Refusal(404, "UNSUPPORTED")
        wanted, begin = self.query.get("artifactType"), int(self.query.get("begin", 0))
        found = [entry for entry in _referring(repository, digest) if wanted in (None, entry["artifactType"])]
        index = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": found[begin : begin + self.registry.page],
        }
        headers = {"Content-Type": INDEX, **({"OCI-Filters-Applied": "artifactType"} if wanted else {})}
        if begin + self.registry.page < len(found):
            more = f"artifactType={wanted}&" if wanted else ""
            headers["Link"] = f'<{self.path}?{more}begin={begin + self.registry.page}>; rel="next"'
        self._answer(200, json.dumps(index).encode(), **headers)

    def _tag_list(self, repository: Repository) -> None:
        self._answer(200, json.dumps({"tags": sorted(repository.tags)}).encode())

    # Answers

    def _digest(self, digest: str) -> dict[str, str]:
        return {"Docker-Content-Digest": self.registry.answered_digest or digest}

    def _content(self, content: bytes, digest: str, **headers: str) -> None:
        if self.registry.altered and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._answer(200, content, **self._digest(digest), **headers)

    def _answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


def _referring(repository: Repository, subject: str) -> Iterator[dict[str, Any]]:
    for digest, (media_type, content) in repository.manifests.items():
        document = json.loads(content)
        if document.get("subject", {}).get("digest") == subject:
            artifact_type = document.get("artifactType") or document["config"]["mediaType"]
            yield {
                "mediaType": media_type,
                "digest": digest,
                "size": len(content),
                "artifactType": artifact_type,
                "annotations": document.get("annotations", {}),
            }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Says nothing of connections that were cut, by whichever side."""


@contextmanager
def running(registry: Registry, tls: ssl.SSLContext | None = None) -> Iterator[Registry]:
    """Serves `registry` on a port of 127.0.0.1, which `registry.address` then names."""
    handler = type("Handler", (_Handler,), {"registry": registry})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        registry.address = f"localhost:{server.server_port}"
        registry.scheme = "https" if tls else "http"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()

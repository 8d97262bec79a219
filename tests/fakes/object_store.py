"""S3 for tests: moto as a server, behind a door that can be told to misbehave."""

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}


class ObjectStore:
    """`requests` are those since `behave`, as methods and paths with their queries."""

    def __init__(self, address: str, moto: tuple[str, int]) -> None:
        self.address = address
        self.moto = moto
        self.behave()

    def behave(self) -> None:
        self.requests: list[str] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        self.cut_after: int | None = None

    def refuse(self, method: str, status: int, code: str) -> None:
        """From now on, answers requests of this method with an error."""
        self.refusals[method] = (status, code)

    def environment(self) -> Mapping[str, str]:
        """What points boto3 here, and away from what this machine's user has set."""
        return {
            "AWS_ENDPOINT_URL_S3": self.address,
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": "the-secret-key",
            "AWS_REGION": "eu-central-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of the tests' own."""
        client = boto3.Session("key", "secret", region_name="eu-central-1").client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.moto[1]}",
            config=Config(retries={"total_max_attempts": 1}),
        )
        yield client
        client.close()

    def bucket(self, name: str) -> str:
        """Makes a bucket; returns its name."""
        with self.client() as client:
            where = {"LocationConstraint": "eu-central-1"}
            client.create_bucket(Bucket=name, CreateBucketConfiguration=where)
        return name

    def objects(self, bucket: str) -> dict[str, bytes]:
        """The bucket's content by key."""
        with self.client() as client:
            keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
            return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def unfinished(self, bucket: str) -> int:
        """How many uploads in parts were begun and neither completed nor taken back."""
        with self.client() as client:
            return len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ObjectStore

    def handle_any(self) -> None:
        store = self.store
        store.requests.append(f"{self.command} {self.path}")
        body = self._body()
        if self.command in store.refusals:
            status, code = store.refusals[self.command]
            return self._answer(
                status, {}, f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
            )
        inner = http.client.HTTPConnection(*store.moto)
        inner.request(self.command, self.path, body, dict(self.headers))
        answer = inner.getresponse()
        content = answer.read()
        inner.close()
        return self._answer(answer.status, dict(answer.getheaders()), content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        kept = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        for name, value in {**kept, "Content-Length": length or str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.store.cut_after if self.command == "GET" else None
        self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


@contextmanager
def running() -> Iterator[ObjectStore]:
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    door = ThreadingHTTPServer(("127.0.0.1", 0), type("Door", (_Door,), {}))
    host, port = moto.get_host_and_port()
    store = ObjectStore(f"http://127.0.0.1:{door.server_port}", (host, port))
    door.RequestHandlerClass.store = store  # type: ignore[attr-defined]
    thread = threading.Thread(target=door.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        door.shutdown()
        door.server_close()
        thread.join()
        moto.stop()

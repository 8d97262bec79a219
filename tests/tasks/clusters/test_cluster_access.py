import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from kubernetes.client import ApiClient, Configuration

from tasks.clusters.access import check_access
from tasks.errors import ClusterFailed, ClusterUnreachable


class Api:
    """The three answers that are asked for; `allowed` are verbs, `statuses` refuse paths."""

    def __init__(self) -> None:
        self.allowed = {"get", "list", "watch"}
        self.statuses: dict[str, int] = {}
        self.address = ""


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/version/":
                version = {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
                others = ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
                return self.answer({**version, **dict.fromkeys(others, "")})
            return self.answer({"items": []})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            verb = asked["spec"]["resourceAttributes"]["verb"]
            self.answer({"spec": asked["spec"], "status": {"allowed": verb in served.allowed}})

        def answer(self, document: dict[str, object]) -> None:
            path = self.path.partition("?")[0]
            self.send_response(served.statuses.get(path, 200))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        served.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def client(address: str) -> ApiClient:
    configuration = Configuration(host=address)
    configuration.retries = False
    return ApiClient(configuration)


def test_a_credential_that_may_follow_canaries_is_good(api: Api) -> None:
    assert check_access(client(api.address), "here") == "v1.34.4"


def test_what_the_credential_may_not_is_named(api: Api) -> None:
    api.allowed.remove("watch")
    with pytest.raises(ClusterFailed, match="may not watch canaries"):
        check_access(client(api.address), "here")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/version/", 401, "does not accept the credential"),
        ("/version/", 500, "refuses a request"),
        ("/apis/flagger.app/v1beta1/canaries", 404, "Flagger is not installed"),
    ],
)
def test_a_refusal_is_explained(api: Api, path: str, status: int, said: str) -> None:
    api.statuses[path] = status
    with pytest.raises(ClusterFailed, match=said) as told:
        check_access(client(api.address), "here")
    assert told.value.next_step


def test_a_cluster_that_does_not_answer_may_later() -> None:
    with pytest.raises(ClusterUnreachable):
        check_access(client("http://127.0.0.1:1"), "here")

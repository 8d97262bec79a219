import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tasks.errors import KubeflowRefused, KubeflowUnreachable
from tasks.kubeflow.health import check_health


@pytest.fixture
def answers() -> Iterator[dict[str, object]]:
    """How the API answers: `runs` is a status, `type` the content's; `address` is where."""
    told: dict[str, object] = {"runs": 200, "type": "application/json"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told["authorization"] = self.headers.get("Authorization")
            content = json.dumps({"tag_name": "2.17.0"} if self.path.endswith("healthz") else {}).encode()
            self.send_response(told["runs"] if "/runs" in self.path else 200)
            self.send_header("Content-Type", str(told["type"]))
            self.send_header("Location", "/dex")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        told["address"] = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def test_the_version_is_told(answers: dict[str, object]) -> None:
    assert check_health(f"{answers['address']}/", "kubeflow", "the-token") == "2.17.0"
    assert answers["authorization"] == "Bearer the-token"


@pytest.mark.parametrize("status", [401, 403, 302])
def test_a_credential_that_is_refused_is_told(answers: dict[str, object], status: int) -> None:
    answers["runs"] = status
    with pytest.raises(KubeflowRefused) as told:
        check_health(str(answers["address"]), "kubeflow", "the-token")
    assert "the-token" not in str(told.value)


def test_another_service_is_no_kubeflow(answers: dict[str, object]) -> None:
    answers["type"] = "text/html"
    with pytest.raises(KubeflowUnreachable):
        check_health(str(answers["address"]), "kubeflow")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "nonsense", "http://[", "http://a b"])
def test_nobody_answers(address: str) -> None:
    with pytest.raises(KubeflowUnreachable) as told:
        check_health(address, "kubeflow")
    assert told.value.next_step

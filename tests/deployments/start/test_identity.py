"""AWS by the job's identity, and kubeconfigs of EKS clusters, at a fake of AWS."""

import base64
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from deployments.start.chain import Access, _aws
from deployments.start.identity import assumed, job_token
from deployments.start.systems import GitHub
from tasks.errors import ClusterFailed, InvalidInput, ModelflightError

REGION = "eu-central-1"
ROLE = "arn:aws:iam::123456789012:role/releases"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of AWS as moto imitates it, with the EKS cluster `models`."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    made = boto3.Session("anybody", "anything", region_name=REGION).client("eks", endpoint_url=address)
    with closing(made) as eks:
        eks.create_cluster(name="models", roleArn=ROLE, resourcesVpcConfig={"subnetIds": ["subnet-1"]})
    yield address
    server.stop()


@pytest.fixture(autouse=True)
def aws(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "ACTIONS_ID_TOKEN"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")  # what it was comes back after the test


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """GitHub's service for identity tokens, as a job finds it; what it was asked for."""
    asked: list[str] = []
    credential = secrets.token_hex(8)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            right = self.headers["Authorization"] == f"Bearer {credential}" and query["api-version"] == [
                "2.0"
            ]
            asked.append(query["audience"][0])
            body = json.dumps({"value": f"token-{len(asked)}", "count": 7}).encode()
            self.send_response(200 if right else 401)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/token?api-version=2.0"
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", address)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", credential)
        yield asked
        server.shutdown()
        thread.join()


def test_aws_is_used_as_the_role_while_the_job_releases(issuer: list[str]) -> None:
    with assumed(ROLE, job_token()):
        file = Path(os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"])
        assert file.read_text() == "token-1"
        assert file.parent.stat().st_mode & 0o077 == 0
        session = boto3.Session()
        credentials = session.get_credentials()
        assert credentials.method == "assume-role-with-web-identity"
        with closing(session.client("sts")) as sts:
            assert sts.get_caller_identity()["Arn"].endswith("releases/modelflight")
    assert issuer == ["sts.amazonaws.com"]
    assert not file.exists()
    assert "AWS_ROLE_ARN" not in os.environ


def test_what_gives_tokens_is_out_of_reach_of_notebooks(issuer: list[str]) -> None:
    job_token()
    assert [name for name in os.environ if name.startswith("ACTIONS_ID_TOKEN")] == []


def test_the_token_is_renewed_also_after_a_failure() -> None:
    answers = iter(["first", ModelflightError("no"), "second"])

    def token() -> str:
        answer = next(answers, "later")
        if isinstance(answer, Exception):
            raise answer
        return answer

    with assumed(ROLE, token, renewal=0.01):
        file = Path(os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"])
        deadline = time.monotonic() + 60
        while file.read_text() != "later":
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_job_without_an_identity_is_told_how_to_get_one() -> None:
    with pytest.raises(InvalidInput, match="id-token: write"), assumed(ROLE, job_token()):
        pass


def test_a_refused_token_is_an_error_without_its_query(
    issuer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "wrong")
    with pytest.raises(ModelflightError, match="identity token") as refused, assumed(ROLE, job_token()):
        pass
    assert "api-version" not in str(refused.value)


def test_gitlabs_token_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLIGHT_ID_TOKEN", "ey.J.x")
    with assumed(ROLE, job_token()):
        assert Path(os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text() == "ey.J.x"
    assert "MODELFLIGHT_ID_TOKEN" not in os.environ


def test_a_kubeconfig_leads_to_the_cluster_and_gets_its_token_from_aws(
    issuer: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ENV", str(tmp_path / "env"))
    with _aws(GitHub(), Access(role=ROLE, region=REGION, cluster="models")):
        file = Path(os.environ["KUBECONFIG"])
        assert file.stat().st_mode & 0o777 & ~0o644 == 0
        content = json.loads(file.read_text())
        program = content["users"][0]["user"]["exec"]
        done = subprocess.run(
            [program["command"], *program["args"]], capture_output=True, text=True, check=True
        )

        from kubernetes.config import new_client_from_config

        with new_client_from_config(str(file)) as client:
            sent = client.configuration.api_key["authorization"]
            server = client.configuration.host
    assert str(file) in (tmp_path / "env").read_text()
    assert "Bearer k8s-aws-v1." in sent
    assert server == content["clusters"][0]["cluster"]["server"].rstrip("/")
    assert server.startswith("https://")

    credential = json.loads(done.stdout)
    assert credential["apiVersion"] == program["apiVersion"] == "client.authentication.k8s.io/v1"
    encoded = credential["status"]["token"].removeprefix("k8s-aws-v1.")
    url = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    assert "Action=GetCallerIdentity" in url
    assert parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert sys.executable == program["command"]


@pytest.mark.usefixtures("issuer")
def test_a_cluster_that_is_not_there_ends_the_job() -> None:
    access = Access(role=ROLE, region=REGION, cluster="wine")
    with pytest.raises(ClusterFailed, match="No cluster found"), _aws(GitHub(), access):
        pass


def test_a_cluster_needs_its_region() -> None:
    with pytest.raises(InvalidInput, match="aws-region"), _aws(GitHub(), Access(cluster="wine")):
        pass

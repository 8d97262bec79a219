"""An S3 object store: versitygw, which keeps buckets as folders and objects as files."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3

from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port
from tests.system.testbed.programs import VERSITYGW

REGION = "us-east-1"


class VersityGateway(Component):
    """versitygw with one account, whose keys are made up anew; buckets may be versioned."""

    name = "versitygw"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    @property
    def address(self) -> str:
        """The endpoint, as a URL."""
        return f"http://127.0.0.1:{self.port}"

    def client_environment(self) -> Mapping[str, str]:
        """What makes boto3, and whatever else follows AWS's SDKs, use this store."""
        return {
            "AWS_ENDPOINT_URL_S3": self.address,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,  # boto3 reads only this one
        }

    def client(self) -> Any:
        """boto3's client of this store."""
        return boto3.Session().client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
        )

    def bucket(self, name: str) -> str:
        """Makes a bucket; returns its name."""
        with closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name

    def prepare(self) -> None:
        for name in ("buckets", "users", "versions"):
            (self.folder / name).mkdir(exist_ok=True)

    def environment(self) -> Mapping[str, str]:
        return {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key, "VGW_REGION": REGION}

    def command(self) -> Sequence[str | Path]:
        folder = self.folder.absolute()  # it changes its working folder
        return [
            VERSITYGW.command("versitygw"), "--port", f"127.0.0.1:{self.port}", "--health", "/healthz",
            # With a folder for users, though there are none, it answers unknown ones as AWS does.
            "--iam-dir", folder / "users",
            "posix", "--versioning-dir", folder / "versions", folder / "buckets",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return answers(f"{self.address}/healthz")

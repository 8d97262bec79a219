"""AWS as moto imitates it, for what no free program serves: EKS, ECR, IAM. It checks no credentials."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.testbed.component import Component, answers
from tests.system.testbed.ports import free_port

REGION = "eu-central-1"


class MotoServer(Component):
    """moto as a server; what it holds is in memory, and gone when it stops."""

    name = "moto"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @property
    def address(self) -> str:
        """The endpoint of all its services, as a URL."""
        return f"http://127.0.0.1:{self.port}"

    def client_environment(self) -> Mapping[str, str]:
        """What makes boto3, and whatever else follows AWS's SDKs, use this server."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,  # boto3 reads only this one
        }

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.port)]

    def is_ready(self) -> bool:
        return answers(f"{self.address}/moto-api/")

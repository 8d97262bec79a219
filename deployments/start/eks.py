"""A kubeconfig for an EKS cluster, and the program that it names for credentials.

`python -m deployments.start.eks REGION NAME` prints an ExecCredential:
https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.clusters.connection import ClusterAddress, eks_kubeconfig, eks_token

_VERSION = "client.authentication.k8s.io/v1"
_GOOD_FOR = timedelta(minutes=14)  # of the token's fifteen


def write_kubeconfig(region: str, name: str, file: Path) -> None:
    """Writes the kubeconfig of an EKS cluster, as whoever AWS's libraries say that this is.

    It holds no credential: a fresh token is made for each process that uses it, by this Python.

    Raises:
        ClusterFailed: AWS refuses to tell of the cluster.
        ClusterUnreachable: AWS does not answer.
    """
    content = eks_kubeconfig(ClusterAddress("eks", eks=f"{region}/{name}"))
    program = {
        "apiVersion": _VERSION,
        "command": sys.executable,
        "args": ["-P", "-m", "deployments.start.eks", region, name],
        "interactiveMode": "Never",
    }
    content |= {
        "apiVersion": "v1",
        "kind": "Config",
        "users": [{"name": name, "user": {"exec": program}}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")  # what is JSON is YAML, too


def _print_credential(region: str, name: str) -> None:
    import boto3

    status = {
        "token": eks_token(boto3.Session(), region, name),
        "expirationTimestamp": f"{datetime.now(UTC) + _GOOD_FOR:%Y-%m-%dT%H:%M:%SZ}",
    }
    sys.stdout.write(json.dumps({"apiVersion": _VERSION, "kind": "ExecCredential", "status": status}))


if __name__ == "__main__":
    _print_credential(*sys.argv[1:])

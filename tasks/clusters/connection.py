"""Reaching a Kubernetes cluster: from within, by a kubeconfig, or as an EKS cluster by its name."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tasks.errors import ClusterFailed, ClusterUnreachable, InvalidInput

if TYPE_CHECKING:
    import boto3
    from kubernetes.client import ApiClient, Configuration

_TOKEN_SECONDS = 60  # as long as AWS takes the signature; the token itself is good for 15 minutes


@dataclass(frozen=True)
class ClusterAddress:
    """Which cluster: `kind` is `in-cluster`, `kubeconfig` or `eks`.

    `kubeconfig` is the file's content, where it is empty the user's own file; `eks` is `<region>/<name>`.
    """

    kind: str
    context: str = ""
    kubeconfig: str = field(default="", repr=False)
    eks: str = ""
    session: "Callable[[], boto3.Session] | None" = field(default=None, repr=False)

    def __str__(self) -> str:
        return {"eks": f"eks:{self.eks}", "in-cluster": "in-cluster"}.get(
            self.kind, f"kubeconfig, context {self.context or '(the current one)'}"
        )


@contextmanager
def connected(address: ClusterAddress) -> Iterator["ApiClient"]:
    """A client of the cluster's API.

    Raises:
        InvalidInput: the address is incomplete, or the kubeconfig cannot be used.
        ClusterFailed: AWS refuses to tell of the EKS cluster.
        ClusterUnreachable: AWS does not answer.
    """
    from kubernetes import client, config
    from kubernetes.config import ConfigException

    try:
        if address.kind == "in-cluster":
            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            made = client.ApiClient(configuration)
        else:
            content = eks_kubeconfig(address) if address.kind == "eks" else _content(address)
            made = (
                config.new_client_from_config_dict(
                    content, context=address.context or None, persist_config=False
                )
                if content
                else config.new_client_from_config(context=address.context or None, persist_config=False)
            )
    except (ConfigException, OSError, yaml.YAMLError) as error:
        raise InvalidInput(
            "The cluster's settings cannot be used.",
            where=str(address),
            why=str(error),
            next_step="Correct kind, context or kubeconfig in its block.",
        ) from None
    with made:
        yield made


def read_configuration(address: ClusterAddress) -> "Configuration":
    """How the cluster's API is reached, with a token that is new; for clients other than Kubernetes' own.

    Raises:
        InvalidInput, ClusterFailed, ClusterUnreachable: see `connected`.
    """
    with connected(address) as client:
        return client.configuration


def _content(address: ClusterAddress) -> dict[str, Any]:
    found = yaml.safe_load(address.kubeconfig) if address.kubeconfig else {}
    if not isinstance(found, dict):
        raise yaml.YAMLError("the kubeconfig is no YAML mapping")
    return found


def eks_kubeconfig(address: ClusterAddress) -> dict[str, Any]:
    """A kubeconfig with a token for the user that the AWS credentials belong to."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    region, slash, name = address.eks.partition("/")
    if not (region and slash and name):
        raise InvalidInput(
            "The EKS cluster is not named.", where=f"eks: {address.eks}", next_step="Write <region>/<name>."
        )
    session = (address.session or boto3.Session)()
    try:
        found = session.client("eks", region_name=region).describe_cluster(name=name)["cluster"]
        token = eks_token(session, region, name)
    except ClientError as error:
        raise ClusterFailed(
            "AWS does not give access to the EKS cluster.",
            where=str(address),
            why=str(error),
            next_step="Check region and name, and allow eks:DescribeCluster to these credentials.",
        ) from None
    except BotoCoreError as error:
        raise ClusterUnreachable(
            "AWS cannot be asked for the EKS cluster.", str(address), str(error)
        ) from None
    certificate = found["certificateAuthority"]["data"]
    return {
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": found["endpoint"], "certificate-authority-data": certificate},
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def eks_token(session: "boto3.Session", region: str, name: str) -> str:
    """A bearer token for an EKS cluster: a presigned request that tells the cluster who asks.

    https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster
    """
    client = session.client("sts", region_name=region)

    def add_cluster(request: Any, **_: Any) -> None:
        request.headers["x-k8s-aws-id"] = name

    client.meta.events.register("before-sign.sts.GetCallerIdentity", add_cluster)
    url = client.generate_presigned_url("get_caller_identity", ExpiresIn=_TOKEN_SECONDS, HttpMethod="GET")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")

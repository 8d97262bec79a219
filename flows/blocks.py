"""Prefect blocks: what is set up once for all releases, in Prefect's pages or in Python.

Prefect encrypts the secret fields. A block's docstring and its fields' descriptions are its form's help.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from prefect_aws import AwsCredentials, MinIOCredentials
from pydantic import AfterValidator, Field, SecretStr

from tasks.address import check_address
from tasks.clusters.connection import ClusterAddress, read_configuration
from tasks.errors import AddressInvalid
from tasks.keyring import AwsAccess, Login
from tasks.kubeflow.endpoint import Endpoint


def _address(value: str) -> str:
    try:
        return check_address(value.rstrip("/"), "address")
    except AddressInvalid as error:
        raise ValueError(f"{error.what} {error.why} {error.next_step}") from None


def _host(value: str) -> str:
    # Of any other form no image's name would begin with it, and images would stay on the worker's machine.
    if "/" in value or value != value.strip():
        raise ValueError("Write host and port alone, without https:// and without a path.")
    return value


Address = Annotated[str, AfterValidator(_address)]
Host = Annotated[str, AfterValidator(_host)]
_NO_SECRET = SecretStr("")


class _GitRepository(Block):
    address: Address = Field(
        description="Address to clone from, without credentials: https://, ssh://, or a path."
    )
    branch: str = Field(default="main", description="The branch that doctor looks at.")
    username: str = Field(
        default="", description="User that the token belongs to. Any name does on GitHub and GitLab."
    )
    token: SecretStr = Field(
        default=_NO_SECRET,
        description="Password or access token for an https:// address. Leave it empty where the workers have "
        "a Git credential helper or an ssh key.",
    )

    @property
    def login(self) -> Login | None:
        """User and token; None where there is no token."""
        token = self.token.get_secret_value()
        return Login(self.username or "git", token) if token else None


class ArtifactStore(Block):
    """Where models and metrics of pipeline runs are kept."""

    _block_type_name = "Modelflight artifact store"
    _block_type_slug = "modelflight-artifact-store"

    address: str = Field(description="s3://bucket/prefix, or file:///folder on a single machine.")
    # AwsCredentials needs no field, so what is MinIO's would be taken for it as well.
    credentials: MinIOCredentials | AwsCredentials | None = Field(
        default=None,
        union_mode="left_to_right",
        description="For s3://. Leave it empty where workers have a role or a profile of their own.",
    )

    @property
    def access(self) -> AwsAccess | None:
        """How a client is made; None where workers find credentials themselves."""
        if self.credentials is None:
            return None
        options = self.credentials.aws_client_parameters.get_params_override()
        options.pop("config", None)
        return AwsAccess(self.credentials.get_boto3_session, options)

    @property
    def bucket(self) -> str | None:
        """The bucket's name; None where it is none."""
        parts = urlsplit(self.address)
        return parts.netloc if parts.scheme == "s3" else None


class NotebookRepository(_GitRepository):
    """A Git repository with notebooks and a modelflight.yaml; a deployment is made for each of its models.

    The block's name is the last part of its webhook's address: /webhooks/NAME.
    """

    _block_type_name = "Modelflight notebook repository"
    _block_type_slug = "modelflight-notebook-repository"

    branch: str = Field(default="main", description="The branch whose commits are released.")
    webhook_secret: SecretStr = Field(
        default=_NO_SECRET,
        description="What the Git server signs its webhooks with; without it webhooks are refused.",
    )
    previous_webhook_secret: SecretStr = Field(
        default=_NO_SECRET,
        description="The secret before, accepted too while you change it on the Git server.",
    )
    artifacts: ArtifactStore | None = Field(
        default=None,
        title="Artifact store",
        description="Where its models are kept; empty: on the machine that trained them.",
    )


class FleetRepository(_GitRepository):
    """Credentials for a GitOps repository that models name in `fleet.repository`."""

    _block_type_name = "Modelflight fleet repository"
    _block_type_slug = "modelflight-fleet-repository"


class ImageRegistry(Block):
    """A registry that model images are pushed to; it makes releases push there."""

    _block_type_name = "Modelflight image registry"
    _block_type_slug = "modelflight-image-registry"

    host: Host = Field(description="Host and port as in the names of images: registry.example.com, ghcr.io.")
    repository: str = Field(
        default="", description="A repository in it that doctor may begin an upload in: models/wine."
    )
    username: str = Field(default="", description="Leave it empty for a registry without logins.")
    password: SecretStr = Field(default=_NO_SECRET, description="Password or access token.")

    @property
    def login(self) -> Login | None:
        """User and password; None where the registry is used anonymously."""
        return Login(self.username, self.password.get_secret_value()) if self.username else None


class KubernetesCluster(Block):
    """The cluster that models are rolled out on."""

    _block_type_name = "Modelflight cluster"
    _block_type_slug = "modelflight-cluster"

    kind: Literal["in-cluster", "kubeconfig", "eks"] = Field(
        default="kubeconfig", description="How the cluster is reached."
    )
    context: str = Field(default="", description="Context of the kubeconfig; empty: its current one.")
    kubeconfig: SecretStr = Field(
        default=_NO_SECRET, description="The kubeconfig itself; empty: the file of the worker's user."
    )
    eks: str = Field(default="", description="<region>/<name> of an EKS cluster.")
    credentials: AwsCredentials | None = Field(default=None, description="For EKS.")

    @property
    def reached(self) -> ClusterAddress:
        """How the cluster is reached."""
        return ClusterAddress(
            self.kind,
            self.context,
            self.kubeconfig.get_secret_value(),
            self.eks,
            self.credentials.get_boto3_session if self.credentials else None,
        )


class KubeflowEndpoint(Block):
    """The API of Kubeflow Pipelines."""

    _block_type_name = "Modelflight Kubeflow endpoint"
    _block_type_slug = "modelflight-kubeflow-endpoint"

    address: str = Field(
        default="",
        description="https://host/pipeline, or the address of ml-pipeline in the cluster; empty: through "
        "the API of the cluster that is chosen below.",
    )
    namespace: str = Field(default="kubeflow", description="Namespace that runs belong to.")
    token: SecretStr = Field(default=_NO_SECRET, description="Bearer token, where the API wants one.")
    token_file: str = Field(
        default="",
        description="File on the workers with the bearer token, such as that of a pod's service account.",
    )
    cookie: SecretStr = Field(
        default=_NO_SECRET,
        description="NAME=VALUE, as a browser sends it after a login with Dex or oauth2-proxy.",
    )
    cluster: KubernetesCluster | None = Field(
        default=None, description="The cluster that it runs in; with it, errors show the logs of steps."
    )

    @property
    def reached(self) -> Endpoint:
        """Where it is, and with what credentials it is asked."""
        return Endpoint(
            self.address,
            self.namespace,
            self.token.get_secret_value(),
            Path(self.token_file) if self.token_file else None,
            self.cookie.get_secret_value(),
            partial(read_configuration, self.cluster.reached) if self.cluster else None,
        )


BLOCKS: tuple[type[Block], ...] = (
    NotebookRepository,
    FleetRepository,
    ArtifactStore,
    ImageRegistry,
    KubeflowEndpoint,
    KubernetesCluster,
)

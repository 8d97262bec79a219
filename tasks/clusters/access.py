"""What a credential may do in a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.errors import ClusterFailed, ClusterUnreachable

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_SECONDS = 15
_CANARIES = "canaries.flagger.app"
_NEEDED = ("get", "list", "watch")


def check_access(client: "ApiClient", where: str) -> str:
    """The cluster's version, after its API said that the credential may follow Flagger's canaries.

    Raises:
        ClusterUnreachable: the API does not answer.
        ClusterFailed: it refuses the credential, Flagger is not installed, or its canaries may not be read.
    """
    from kubernetes.client import AuthorizationV1Api, CustomObjectsApi, VersionApi

    with _reported(where):
        version = VersionApi(client).get_code(_request_timeout=_SECONDS).git_version
        missing = [
            verb
            for verb in _NEEDED
            if not AuthorizationV1Api(client)
            .create_self_subject_access_review(
                {
                    "spec": {
                        "resourceAttributes": {
                            "group": "flagger.app", "resource": "canaries", "verb": verb,
                        }
                    }
                },
                _request_timeout=_SECONDS,
            )
            .status.allowed
        ]  # fmt: skip
        if missing:
            raise ClusterFailed(
                "Rollouts cannot be followed on this cluster.",
                where,
                f"The credential may not {', '.join(missing)} {_CANARIES}.",
                "Bind a ClusterRole that allows it to the credential's user.",
            )
        CustomObjectsApi(client).list_cluster_custom_object(
            "flagger.app", "v1beta1", "canaries", limit=1, _request_timeout=_SECONDS
        )
    return str(version)


@contextmanager
def _reported(where: str) -> Iterator[None]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        what, why, next_step = {
            401: ("The cluster does not accept the credential.", "It answers 401.", "Make a new kubeconfig."),
            404: (
                "Flagger is not installed on this cluster.",
                f"It knows no {_CANARIES}.",
                "Install Flagger.",
            ),
        }.get(
            error.status,
            ("The cluster's API refuses a request.", f"{error.status} {error.reason}", "Check its log."),
        )
        raise ClusterFailed(what, where, why, next_step) from None
    except (HTTPError, OSError) as error:
        raise ClusterUnreachable(
            "The cluster's API does not answer.", where, str(error), "Check the address and the network."
        ) from None

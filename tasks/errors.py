"""Every error that Modelflight raises on purpose, in one tree.

An error says what was wanted, where it went wrong, why, and what to do next. Its class says whether trying
again can help (`retryable`, read by the retry predicate of the Prefect tasks) and how the command line ends
(`exit_code`). Messages never carry credentials: addresses pass through `tasks.address.redact` first.
"""

from typing import ClassVar


class ModelflightError(Exception):
    """Base of all errors; the four parts are kept apart so that each surface can lay them out.

    Args:
        what: what was attempted and failed, one sentence.
        where: file:line, key, step and cell, or address without secrets.
        why: the cause, as far as it is known; may span lines (a traceback, a hook's message).
        next_step: what the reader can do about it.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, where: str = "", why: str = "", next_step: str = "") -> None:
        super().__init__(what, where, why, next_step)  # all four in args, so that it survives pickling
        self.what = what
        self.where = where
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        parts = (("", self.what), ("where: ", self.where), ("why: ", self.why), ("next: ", self.next_step))
        return "\n".join(label + text for label, text in parts if text)


class InvalidInput(ModelflightError):
    """What the user wrote cannot be used; nothing outside was touched."""

    exit_code = 2


class ConfigInvalid(InvalidInput):
    """`modelflight.yaml` is missing, unreadable, or has problems (all of them are in `why`)."""


class NotebookInvalid(InvalidInput):
    """The notebook cannot be read or is not tagged so that a pipeline can be made of it."""


class ParameterInvalid(InvalidInput):
    """A parameter does not exist in the notebook or has a type or value that it cannot take."""


class AddressInvalid(InvalidInput):
    """An address cannot be used: malformed, or it carries a credential."""


class CommitNotFound(InvalidInput):
    """The commit, branch or tag does not exist in the notebook repository."""


class FleetTargetInvalid(InvalidInput):
    """The fleet repository's branch or path does not carry the model's image in exactly one place."""


class NotSupported(InvalidInput):
    """A valid request for something that this version cannot do."""


class RepositoryUnreachable(ModelflightError):
    """A Git repository could not be reached or read; the network may come back."""

    retryable = True


class RepositoryRefused(ModelflightError):
    """A Git repository answered that it is not there, or not for this credential; trying again is no help."""


class PrefectUnreachable(ModelflightError):
    """The Prefect API that the settings name does not answer, or none could be started."""


class PartFailed(ModelflightError):
    """A part of `modelflight up` died again and again, or was never ready."""


class CompileFailed(ModelflightError):
    """Kale or KFP could not turn the notebook into a pipeline."""


class StepFailed(ModelflightError):
    """A step of the pipeline ended with an exception or died."""


class MetricInvalid(ModelflightError):
    """The run finished, but a metric of the gate is missing or is no finite number."""


class ModelMissing(ModelflightError):
    """The run finished, but it left no model, or more than one candidate."""


class ArtifactsUnreachable(ModelflightError):
    """The artifact store did not answer, or not in time; it may later."""

    retryable = True


class ArtifactFailed(ModelflightError):
    """An artifact cannot be stored or read: the store refuses, or a file is unfit, changed or gone."""


class DataUnreachable(ModelflightError):
    """The data that a model is trained on did not answer; it may later."""

    retryable = True


class PackFailed(ModelflightError):
    """The model image could not be written; nothing half-written is visible."""


class TagTaken(PackFailed):
    """The tag already names another digest; tags are immutable."""


class ImageCorrupt(ModelflightError):
    """An image cannot be read where it is stored, or is something else than what its digests say."""


class RegistryUnreachable(ModelflightError):
    """The image registry did not answer, was busy, or lost an upload; it may work later."""

    retryable = True


class RegistryRefused(ModelflightError):
    """The image registry, or the way to it, refuses: credentials, permission, encryption, its rules."""


class FleetRefused(ModelflightError):
    """The fleet repository did not accept the commit."""


class ChampionChanged(FleetRefused):
    """The fleet carries another image than the one that the gate compared with."""


class KubeflowUnreachable(ModelflightError):
    """The API of Kubeflow Pipelines did not answer; it may later."""

    retryable = True


class KubeflowAnswerLost(KubeflowUnreachable):
    """Kubeflow Pipelines failed, or its answer did not arrive: the request may have been carried out."""


class KubeflowRefused(ModelflightError):
    """Kubeflow Pipelines refuses: the credential, or what it is asked for."""


class ClusterUnreachable(ModelflightError):
    """The Kubernetes cluster, or AWS about it, did not answer; it may later."""

    retryable = True


class ClusterFailed(ModelflightError):
    """The Kubernetes cluster refuses, or lacks what is needed."""


class GivenUp(ModelflightError):
    """The release died too often to be resumed once more."""

"""Annotations of a model image: what anybody can read of a release from the image alone."""

import json
from collections.abc import Mapping

from tasks.metrics import json_metrics
from tasks.release import ReleasePlan, TrainedModel

METRICS = "dev.modelflight.metrics"


def image_annotations(plan: ReleasePlan, trained: TrainedModel) -> dict[str, str]:
    """The pre-defined annotations of the OCI image specification, and the metrics.

    Nothing here depends on the attempt, the day or the repository's address, so that the same model of the
    same commit has the same digest. The release record has the rest.
    """
    commit = plan.source.commit
    return {
        "org.opencontainers.image.title": plan.model.name,
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.version": commit[:12],
        METRICS: json.dumps(json_metrics(trained.metrics), sort_keys=True),
    }


def metrics_of(annotations: Mapping[str, str] | None) -> dict[str, object] | None:
    """The metrics on an image; None when the image, or its annotation, is not there or not ours."""
    try:
        metrics = json.loads((annotations or {})[METRICS])
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    return metrics if isinstance(metrics, dict) else None

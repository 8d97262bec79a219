"""Metrics as they are shown and written; a notebook can print text as one."""

import math
from collections.abc import Mapping


def shown_metrics(metrics: Mapping[str, object]) -> list[str]:
    """`name value` of each metric."""
    return [
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics.items()
    ]


def json_metrics(metrics: Mapping[str, object]) -> dict[str, object]:
    """`metrics` as JSON can carry them: it has no NaN and no infinity, which become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in metrics.items()
    }

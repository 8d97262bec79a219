"""The gate: may the challenger be released? Pure comparison of numbers."""

import math
from collections.abc import Mapping

from tasks.errors import MetricInvalid
from tasks.model import Gate
from tasks.release import GateDecision


def decide(
    gate: Gate,
    challenger: Mapping[str, object],
    champion: Mapping[str, object] | None,
    champion_image: str | None,
) -> GateDecision:
    """Holds the challenger's metric against the fixed limit and, within the tolerance, the champion's.

    `champion` is None when nothing serves yet or its metrics are unknown; then the fixed limit decides.

    Raises:
        MetricInvalid: the challenger has no such metric, or it is no finite number.
    """
    ours = _number(challenger, gate.metric)
    theirs = _number(champion, gate.metric) if champion and gate.metric in champion else None
    # With the sign turned where lower is better, higher is better from here on.
    sign = 1.0 if gate.better == "higher" else -1.0
    reasons = []
    if gate.limit is not None and sign * ours < sign * gate.limit:
        side = "below the minimum" if sign > 0 else "above the maximum"
        reasons.append(f"{gate.metric} {ours:.6g} is {side} {gate.limit:.6g}")
    if theirs is not None and sign * ours < sign * theirs - gate.tolerance:
        reasons.append(
            f"{gate.metric} {ours:.6g} is worse than the champion's {theirs:.6g} "
            f"by more than the tolerance {gate.tolerance:.6g}"
        )
    return GateDecision(
        metric=gate.metric,
        better=gate.better,
        challenger=ours,
        champion=theirs,
        champion_image=champion_image,
        limit=gate.limit,
        tolerance=gate.tolerance,
        reasons=tuple(reasons),
    )


def _number(metrics: Mapping[str, object], name: str) -> float:
    value = metrics.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise MetricInvalid(
        f"The gate needs the metric {name!r} as a finite number.",
        where=f"modelflight.yaml: gate.metric: {name}",
        why=f"The run left {value!r}."
        if name in metrics
        else f"The run left: {', '.join(metrics) or 'none'}.",
        next_step="Compute it in the notebook and print it in the cell tagged pipeline-metrics.",
    )


def describe(decision: GateDecision) -> list[dict[str, str]]:
    """The decision as the rows of a table for people: what was compared, with what, and the outcome."""
    worse = "below" if decision.better == "higher" else "above"

    def row(what: str, value: float | None, missing: str = "") -> dict[str, str]:
        if value is None:
            return {"compared with": what, decision.metric: missing, "difference": ""}
        return {
            "compared with": what,
            decision.metric: f"{value:.6g}",
            "difference": f"{decision.challenger - value:+.6g}",
        }

    champion = "none serves yet" if decision.champion_image is None else "unknown"
    rows = [
        {
            "compared with": "challenger (new)",
            decision.metric: f"{decision.challenger:.6g}",
            "difference": "",
        },
        row(f"champion (serves now), at most {decision.tolerance:g} {worse}", decision.champion, champion),
    ]
    if decision.limit is not None:
        rows.append(row("minimum" if decision.better == "higher" else "maximum", decision.limit))
    outcome = "go" if decision.passed else "refused: " + "; ".join(decision.reasons)
    return [*rows, {"compared with": "decision", decision.metric: outcome, "difference": ""}]

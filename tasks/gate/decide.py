"""The gate: may the challenger be released? Pure comparison of numbers."""

import math
import reprlib
from collections.abc import Mapping
from fractions import Fraction

from tasks.errors import MetricInvalid
from tasks.model import Gate
from tasks.release import GateDecision


def decide(
    gate: Gate,
    challenger: Mapping[str, object],
    champion: Mapping[str, object] | None,
    serving: str,
    *,
    accept_unknown_champion: bool = False,
) -> GateDecision:
    """Holds the challenger's metric against the fixed limit and, within the tolerance, the champion's.

    `serving` is the image reference that the fleet carries; without a digest nothing serves yet, and the
    fixed limit decides alone. `champion` are the metrics on that image. Where they are not known, the gate
    stays shut, unless `accept_unknown_champion` leaves the decision to the fixed limit.

    Raises:
        MetricInvalid: the challenger has no such metric, or it is no finite number.
    """
    ours = _number(challenger, gate.metric)
    theirs = _finite((champion or {}).get(gate.metric))
    champion_image = serving if "@" in serving else None
    # With the sign turned where lower is better, higher is better from here on.
    sign = 1 if gate.better == "higher" else -1
    reasons = []
    if gate.limit is not None and sign * ours < sign * gate.limit:
        side = "below the minimum" if sign > 0 else "above the maximum"
        reasons.append(f"{gate.metric} {ours:.6g} is {side} {gate.limit:.6g}")
    if theirs is not None and sign * _exact(ours) < sign * _exact(theirs) - _exact(gate.tolerance):
        reasons.append(
            f"{gate.metric} {ours:.6g} is worse than the champion's {theirs:.6g} "
            f"by more than the tolerance {gate.tolerance:.6g}"
        )
    if champion_image and theirs is None and not accept_unknown_champion:
        reasons.append(
            f"the champion's {gate.metric} is not known here, so nothing says that the new model is as good; "
            "restore the images, or release with --accept-unknown-champion"
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
        replaces=serving,
    )


def _exact(number: float) -> Fraction:
    """The decimal number that people read: 0.7 + 0.1 is 0.8 then, and exactly at the limit passes."""
    return Fraction(repr(number))


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond what a float holds
        return None


def _number(metrics: Mapping[str, object], name: str) -> float:
    value = _finite(metrics.get(name))
    if value is not None:
        return value
    raise MetricInvalid(
        f"The gate needs the metric {name!r} as a finite number.",
        where=f"modelflight.yaml: gate.metric: {name}",
        why=f"The run left {reprlib.repr(metrics[name])}."
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

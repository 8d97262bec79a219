"""The gate: may the challenger be released? Pure comparison of numbers."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

from tasks.errors import MetricInvalid
from tasks.gate.bootstrap import paired_interval
from tasks.model import Criterion
from tasks.release import GateDecision, Interval, MetricComparison

Scores = tuple[Sequence[float], Sequence[float]]
"""A score for each held-out example: the challenger's, and the champion's."""


def decide(
    gate: Sequence[Criterion],
    challenger: Mapping[str, object],
    champion: Mapping[str, object] | None,
    serving: str,
    *,
    scores: Mapping[str, Scores] | None = None,
    accept_unknown_champion: bool = False,
) -> GateDecision:
    """Holds the challenger's metrics against the fixed limits and, within the tolerances, the champion's.

    `serving` is the image reference that the fleet carries; without a digest nothing serves yet, and the
    fixed limits decide alone. `champion` are the metrics on that image. Where one is not known, the gate
    stays shut, unless `accept_unknown_champion` leaves the decision to the fixed limit.

    Where `scores` has those of a metric's evaluation function, they decide instead of the two metrics, by a
    test of non-inferiority: the challenger is refused unless the worse end of the confidence interval of the
    mean difference is within the tolerance. What is only uncertain is refused, too. Source: Piaggio et al.,
    Reporting of Noninferiority and Equivalence Randomized Trials, JAMA 2012;308:2594; two-sided intervals as
    in ICH E9, section 3.3.2.

    Raises:
        MetricInvalid: the challenger lacks one of the metrics, or it is no finite number.
    """
    ours = _numbers(challenger, [criterion.metric for criterion in gate])
    champion_image = serving if "@" in serving else None
    needs_champion = champion_image is not None and not accept_unknown_champion
    comparisons = (
        _compare(
            each,
            ours[each.metric],
            _finite((champion or {}).get(each.metric)),
            _interval(each, (scores or {}).get(each.metric)),
            needs_champion,
        )
        for each in gate
    )
    return GateDecision(tuple(comparisons), champion_image, replaces=serving)


def _interval(criterion: Criterion, scores: Scores | None) -> Interval | None:
    if criterion.evaluate is None or scores is None:
        return None
    return paired_interval(criterion.metric, *scores, criterion.evaluate.confidence)


def _compare(
    criterion: Criterion,
    ours: float,
    theirs: float | None,
    interval: Interval | None,
    needs_champion: bool,
) -> MetricComparison:
    metric, limit, tolerance = criterion.metric, criterion.limit, criterion.tolerance
    # With the sign turned where lower is better, higher is better from here on.
    sign = 1 if criterion.better == "higher" else -1
    reasons = []
    if limit is not None and sign * ours < sign * limit:
        side = "below the minimum" if sign > 0 else "above the maximum"
        reasons.append(f"{metric} {ours:.6g} is {side} {limit:.6g}")
    if interval:
        if min(sign * interval.low, sign * interval.high) < -tolerance:
            reasons.append(
                f"{metric} is not shown to be at most {tolerance:.6g} worse than the champion's; "
                f"the difference is {interval.told}"
            )
    elif theirs is not None and sign * _exact(ours) < sign * _exact(theirs) - _exact(tolerance):
        reasons.append(
            f"{metric} {ours:.6g} is worse than the champion's {theirs:.6g} "
            f"by more than the tolerance {tolerance:.6g}"
        )
    elif theirs is None and needs_champion:
        reasons.append(
            f"the champion's {metric} is not known here, so nothing says that the new model is as good; "
            "restore the images, or release with --accept-unknown-champion"
        )
    return MetricComparison(
        metric, criterion.better, ours, theirs, limit, tolerance, tuple(reasons), interval
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


def _numbers(metrics: Mapping[str, object], names: Sequence[str]) -> dict[str, float]:
    found = {name: value for name in names if (value := _finite(metrics.get(name))) is not None}
    lacking = [name for name in names if name not in found]
    if not lacking:
        return found
    left = ", ".join(f"{name} {reprlib.repr(value)}" for name, value in metrics.items())
    raise MetricInvalid(
        f"The gate needs a finite number for {', '.join(map(repr, lacking))}.",
        where=f"modelflight.yaml: gate: {', '.join(lacking)}",
        why=f"The run left: {left or 'none'}.",
        next_step="Compute it in the notebook and print it in the cell tagged pipeline-metrics.",
    )


def describe(decision: GateDecision) -> list[dict[str, str]]:
    """The decision as the rows of a table for people: a metric, what it was compared with, the outcome."""
    missing = "none serves yet" if decision.champion_image is None else "unknown"
    return [
        {
            "metric": each.metric,
            "better": each.better,
            "challenger": f"{each.challenger:.6g}",
            "champion": missing if each.champion is None else f"{each.champion:.6g}",
            "difference": _difference(each),
            "tolerance": f"{each.tolerance:.6g}",
            "limit": "none" if each.limit is None else f"{each.limit:.6g}",
            "outcome": each.outcome,
        }
        for each in decision.comparisons
    ]


def _difference(comparison: MetricComparison) -> str:
    if comparison.interval:
        return comparison.interval.told
    return "" if comparison.champion is None else f"{comparison.challenger - comparison.champion:+.6g}"

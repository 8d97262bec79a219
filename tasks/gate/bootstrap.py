"""How much better the challenger is on the same examples: a paired bootstrap. Pure statistics."""

import math
from collections.abc import Sequence

from tasks.errors import MetricInvalid
from tasks.release import Interval

RESAMPLES = 10_000
_SEED = 0


def paired_interval(
    metric: str, challenger: Sequence[float], champion: Sequence[float], confidence: float
) -> Interval:
    """The two-sided percentile interval of the mean difference, challenger minus champion.

    Both have a score for each example, in the same order. The pairs are drawn with replacement, as many as
    there are, 10 000 times, always from the same seed: the same scores give the same interval. Source: Efron
    and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; pairs stay together because both
    models judge the same examples.

    Raises:
        MetricInvalid: fewer than two examples, not as many of one as of the other, or a score that is no
            finite number.
    """
    import numpy

    lengths = f"{len(challenger)} for the challenger and {len(champion)} for the champion"
    if len(challenger) != len(champion):
        raise _invalid(metric, f"It gave {lengths}.", "Evaluate both models on the same examples.")
    if len(challenger) < 2:
        raise _invalid(metric, f"It gave {lengths}.", "Evaluate on at least two examples.")
    if not all(map(math.isfinite, (*challenger, *champion))):
        raise _invalid(metric, "One of them is not finite.", "Look for a division by zero, or missing data.")
    differences = numpy.subtract(challenger, champion)
    generator = numpy.random.default_rng(_SEED)
    count = len(differences)
    means = [differences[generator.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
    outside = (1 - confidence) / 2
    low, high = numpy.quantile(means, [outside, 1 - outside])
    return Interval(float(low), float(differences.mean()), float(high), confidence, count)


def _invalid(metric: str, why: str, next_step: str) -> MetricInvalid:
    return MetricInvalid(
        f"The scores of the examples for {metric!r} cannot be compared.",
        where=f"modelflight.yaml: gate: {metric}: evaluate",
        why=why,
        next_step=next_step,
    )

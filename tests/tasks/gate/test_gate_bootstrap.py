"""The interval of the difference on the same examples: what holds for all scores, and against scipy's own."""

import math

import numpy
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import MetricInvalid
from tasks.gate.bootstrap import RESAMPLES, paired_interval
from tasks.release import Interval

scores = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
pairs = st.lists(st.tuples(scores, scores), min_size=2, max_size=30)
few = settings(max_examples=8, deadline=None)


def interval(of: list[tuple[float, float]], confidence: float = 0.95) -> Interval:
    challenger, champion = zip(*of, strict=True)
    return paired_interval("score", challenger, champion, confidence)


@few
@given(pairs)
def test_the_interval_lies_among_the_differences_and_is_always_the_same(of):
    found = interval(of)
    differences = [ours - theirs for ours, theirs in of]
    spare = 1e-9
    assert min(differences) - spare <= found.low <= found.high <= max(differences) + spare
    assert found.mean == pytest.approx(sum(differences) / len(of), abs=spare)
    assert found.examples == len(of)
    assert found == interval(of)


@few
@given(pairs)
def test_champion_and_challenger_exchanged_turn_the_interval_round(of):
    found, turned = interval(of), interval([(theirs, ours) for ours, theirs in of])
    assert (turned.low, turned.mean, turned.high) == pytest.approx((-found.high, -found.mean, -found.low))


@few
@given(pairs, scores)
def test_what_is_added_to_every_score_of_the_challenger_moves_the_interval_as_far(of, more):
    found, moved = interval(of), interval([(ours + more, theirs) for ours, theirs in of])
    assert (moved.low, moved.high) == pytest.approx((found.low + more, found.high + more), abs=1e-6)


@few
@given(pairs, st.floats(0.51, 0.99), st.floats(0.51, 0.99))
def test_more_confidence_never_gives_a_narrower_interval(of, one, other):
    narrow, wide = interval(of, min(one, other)), interval(of, max(one, other))
    assert wide.low <= narrow.low <= narrow.high <= wide.high


@few
@given(st.lists(scores, min_size=2, max_size=30))
def test_equal_scores_leave_no_doubt(of):
    found = interval(list(zip(of, of, strict=True)))
    assert (found.low, found.mean, found.high) == (0, 0, 0)


def test_it_is_scipys_percentile_interval_of_the_paired_differences():
    generator = numpy.random.default_rng(7)
    champion = generator.normal(size=300)
    challenger = champion + generator.normal(0.1, 0.5, size=300)
    found = interval(list(zip(challenger.tolist(), champion.tolist(), strict=True)), 0.9)
    theirs = scipy.stats.bootstrap(
        (challenger - champion,), numpy.mean, n_resamples=RESAMPLES, confidence_level=0.9, method="percentile"
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


@pytest.mark.parametrize(
    ("challenger", "champion", "why"),
    [
        ([1, 2], [1, 2, 3], "2 for the challenger and 3 for the champion"),
        ([], [], "0 for the challenger"),
        ([1], [1], "1 for the challenger"),
        ([1, math.nan], [1, 2], "not finite"),
        ([1, 2], [-math.inf, 2], "not finite"),
    ],
)
def test_scores_that_are_no_pairs_of_numbers_are_refused(challenger, champion, why):
    with pytest.raises(MetricInvalid, match="'score'") as caught:
        paired_interval("score", challenger, champion, 0.95)
    assert why in caught.value.why

"""What the gate lets through, at its edges and with metrics that are none."""

import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.errors import MetricInvalid
from tasks.gate.decide import decide, describe
from tasks.model import Gate

numbers = st.floats(-1e6, 1e6, allow_nan=False)
# What people write: a few digits behind the point.
decimals = st.decimals(-1000, 1000, places=3).map(abs)

FRESH = "registry.example.com/models/wine"
PINNED = f"{FRESH}:v1@sha256:{'ab' * 32}"


def gate(better: str = "higher", limit: float | None = None, tolerance: float = 0.0) -> Gate:
    side = {"higher": "minimum", "lower": "maximum"}[better]
    return Gate.model_validate({"metric": "score", "better": better, "tolerance": tolerance, side: limit})


def passes(which: Gate, challenger: object, champion: object = None) -> bool:
    theirs = None if champion is None else {"score": champion}
    return decide(which, {"score": challenger}, theirs, PINNED if theirs else FRESH).passed


@pytest.mark.parametrize(
    ("which", "challenger", "champion", "passed"),
    [
        (gate(limit=0.9), 0.9, None, True),
        (gate(limit=0.9), math.nextafter(0.9, 0), None, False),
        (gate("lower", limit=0.1), 0.1, None, True),
        (gate("lower", limit=0.1), math.nextafter(0.1, 1), None, False),
        (gate(), 0.5, 0.5, True),
        (gate(), 0.4999, 0.5, False),
        (gate("lower"), 0.5001, 0.5, False),
        (gate("lower"), 0.4999, 0.5, True),
        (gate(tolerance=0.1), 0.2, 0.3, True),
        (gate(tolerance=0.1), 0.199999, 0.3, False),
        (gate("lower", tolerance=0.1), 0.8, 0.7, True),  # 0.7 + 0.1 is less than 0.8 in binary
        (gate("lower", tolerance=0.2), 0.3, 0.1, True),
        (gate(limit=0.9), 0.8, 0.5, False),
        (gate(limit=1), 1, 1, True),
        (gate(), 10**300, 1, True),
    ],
)
def test_the_limits_themselves_pass_and_what_is_beyond_does_not(which, challenger, champion, passed):
    assert passes(which, challenger, champion) is passed


@given(champion=decimals, tolerance=decimals, better=st.sampled_from(["higher", "lower"]))
@example(champion=Decimal("0.7"), tolerance=Decimal("0.1"), better="lower")
def test_exactly_as_much_worse_as_the_tolerance_passes(champion, tolerance, better):
    challenger = champion - tolerance if better == "higher" else champion + tolerance
    which = gate(better, tolerance=float(tolerance))
    assert passes(which, float(challenger), float(champion))
    beyond = challenger + Decimal("0.0001") * (-1 if better == "higher" else 1)
    assert not passes(which, float(beyond), float(champion))


@given(
    better=st.sampled_from(["higher", "lower"]),
    limit=st.none() | numbers,
    tolerance=st.floats(0, 1e6),
    champion=st.none() | numbers,
    challengers=st.tuples(numbers, numbers),
)
def test_a_better_challenger_is_never_refused_where_a_worse_one_passes(
    better, limit, tolerance, champion, challengers
):
    worse, good = sorted(challengers, reverse=better == "lower")
    which = gate(better, limit, tolerance)
    assert passes(which, good, champion) >= passes(which, worse, champion)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.9", None, [0.9], {}, 10**400])
def test_a_metric_that_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(MetricInvalid, match="'score'") as caught:
        passes(gate(), value)
    assert caught.value.where.endswith("score")
    assert "The run left" in caught.value.why
    assert caught.value.next_step


def test_a_missing_metric_is_told_with_those_that_are_there():
    with pytest.raises(MetricInvalid) as caught:
        decide(gate(), {"loss": 0.1, "recall": 0.2}, None, FRESH)
    assert caught.value.why == "The run left: loss, recall."


@pytest.mark.parametrize(
    "champion", [None, {}, {"loss": 1}, {"score": None}, {"score": math.nan}, {"score": "0.9"}]
)
def test_where_the_champions_metric_is_not_known_the_gate_is_shut_or_the_fixed_limit_decides(champion):
    for score, passed in ((0.5, True), (0.4, False)):
        decision = decide(gate(limit=0.5), {"score": score}, champion, PINNED, accept_unknown_champion=True)
        assert decision.champion is None
        assert decision.passed is passed
    shut = decide(gate(limit=0.5), {"score": 0.9}, champion, PINNED)
    assert not shut.passed
    assert "not known here" in shut.reasons[0]


def test_the_table_says_what_was_compared_and_why_it_was_refused():
    decision = decide(gate(limit=0.9, tolerance=0.01), {"score": 0.8}, {"score": 0.95}, PINNED)
    rows = describe(decision)
    assert [row["score"] for row in rows[:-1]] == ["0.8", "0.95", "0.9"]
    assert [row["difference"] for row in rows[:-1]] == ["", "-0.15", "-0.1"]
    assert rows[-1]["score"] == (
        "refused: score 0.8 is below the minimum 0.9; "
        "score 0.8 is worse than the champion's 0.95 by more than the tolerance 0.01"
    )
    first = describe(decide(gate("lower", limit=0.9), {"score": 0.8}, None, FRESH))
    assert [row["score"] for row in first] == ["0.8", "none serves yet", "0.9", "go"]
    assert first[2]["compared with"] == "maximum"

"""What the gate lets through, at its edges and with metrics that are none."""

import math
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.errors import MetricInvalid
from tasks.gate.decide import decide, describe
from tasks.model import Criterion

numbers = st.floats(-1e6, 1e6, allow_nan=False)
# What people write: a few digits behind the point.
decimals = st.decimals(-1000, 1000, places=3).map(abs)

FRESH = "registry.example.com/models/wine"
PINNED = f"{FRESH}:v1@sha256:{'ab' * 32}"


def criterion(metric: str, better: str, limit: float | None, tolerance: float) -> Criterion:
    side = {"higher": "minimum", "lower": "maximum"}[better]
    return Criterion.model_validate({"metric": metric, "better": better, "tolerance": tolerance, side: limit})


def gate(better: str = "higher", limit: float | None = None, tolerance: float = 0.0) -> list[Criterion]:
    return [criterion("score", better, limit, tolerance)]


def passes(which: list[Criterion], challenger: object, champion: object = None) -> bool:
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


def test_missing_metrics_are_told_with_those_that_are_there():
    which = [*gate(), criterion("loss", "lower", None, 0), criterion("precision", "higher", None, 0)]
    with pytest.raises(MetricInvalid, match="a finite number for 'score', 'precision'") as caught:
        decide(which, {"loss": 0.1, "precision": math.nan}, None, FRESH)
    assert caught.value.where == "modelflight.yaml: gate: score, precision"
    assert caught.value.why == "The run left: loss 0.1, precision nan."


@pytest.mark.parametrize(
    "champion", [None, {}, {"loss": 1}, {"score": None}, {"score": math.nan}, {"score": "0.9"}]
)
def test_where_the_champions_metric_is_not_known_the_gate_is_shut_or_the_fixed_limit_decides(champion):
    for score, passed in ((0.5, True), (0.4, False)):
        decision = decide(gate(limit=0.5), {"score": score}, champion, PINNED, accept_unknown_champion=True)
        assert decision.comparisons[0].champion is None
        assert decision.passed is passed
    shut = decide(gate(limit=0.5), {"score": 0.9}, champion, PINNED)
    assert not shut.passed
    assert "not known here" in shut.reasons[0]


SEVERAL = [
    criterion("score", "higher", 0.9, 0.01),
    criterion("loss", "lower", 0.5, 0),
    criterion("recall", "higher", None, 0),
]


def test_every_metric_has_to_pass_and_all_reasons_are_told():
    decision = decide(
        SEVERAL,
        {"score": 0.8, "loss": 0.6, "recall": 0.7},
        {"score": 0.95, "loss": 0.6, "recall": 0.7},
        PINNED,
    )
    assert decision.reasons == (
        "score 0.8 is below the minimum 0.9",
        "score 0.8 is worse than the champion's 0.95 by more than the tolerance 0.01",
        "loss 0.6 is above the maximum 0.5",
    )
    assert [comparison.outcome == "go" for comparison in decision.comparisons] == [False, False, True]
    assert not decision.passed


@given(scores=st.tuples(numbers, numbers, numbers), champions=st.tuples(numbers, numbers, numbers))
def test_several_metrics_pass_when_each_passes_alone(scores, champions):
    names = [each.metric for each in SEVERAL]
    ours, theirs = dict(zip(names, scores, strict=True)), dict(zip(names, champions, strict=True))
    together = decide(SEVERAL, ours, theirs, PINNED)
    alone = [decide([each], ours, theirs, PINNED) for each in SEVERAL]
    assert together.passed == all(one.passed for one in alone)
    assert together.comparisons == tuple(one.comparisons[0] for one in alone)


def test_a_metric_that_only_the_challenger_has_leaves_the_others_compared():
    decision = decide(SEVERAL[1:], {"loss": 0.4, "recall": 0.7}, {"loss": 0.3}, PINNED)
    worse, unknown = decision.reasons
    assert worse.startswith("loss 0.4 is worse than the champion's 0.3")
    assert unknown.startswith("the champion's recall is not known here")


def test_the_table_has_a_row_for_each_metric_with_what_was_compared_and_the_outcome():
    first, second, third = describe(
        decide(
            SEVERAL, {"score": 0.8, "loss": 0.4, "recall": 0.7}, {"score": 0.95, "loss": 0.5}, PINNED,
            accept_unknown_champion=True,
        )
    )  # fmt: skip
    assert first == {
        "metric": "score",
        "better": "higher",
        "challenger": "0.8",
        "champion": "0.95",
        "difference": "-0.15",
        "tolerance": "0.01",
        "limit": "0.9",
        "outcome": "refused: score 0.8 is below the minimum 0.9; "
        "score 0.8 is worse than the champion's 0.95 by more than the tolerance 0.01",
    }
    assert (second["better"], second["difference"], second["outcome"]) == ("lower", "-0.1", "go")
    assert (third["champion"], third["difference"], third["limit"]) == ("unknown", "", "none")
    assert describe(decide(gate(), {"score": 1}, None, FRESH))[0]["champion"] == "none serves yet"


def evaluated(better: str, tolerance: float) -> list[Criterion]:
    return [
        Criterion.model_validate(
            {"metric": "score", "better": better, "tolerance": tolerance, "evaluate": {"function": "f"}}
        )
    ]


BASE = [0.5] * 40
# Nine of ten examples are as good, one in ten is 0.1 worse or better: the mean moves by 0.01.
WORSE, BETTER = (
    [0.5 + (change if number % 10 == 0 else 0) for number in range(40)] for change in (-0.1, 0.1)
)


@pytest.mark.parametrize(
    ("better", "ours", "tolerance", "passed"),
    [
        ("higher", BASE, 0, True),
        ("higher", WORSE, 0.05, True),
        ("higher", WORSE, 0.012, False),  # 0.01 worse was seen, but it may be 0.02
        ("higher", WORSE, 0, False),
        ("higher", BETTER, 0, True),
        ("lower", BETTER, 0.012, False),
        ("lower", BETTER, 0.05, True),
        ("lower", WORSE, 0, True),
    ],
)
def test_on_the_same_examples_the_challenger_has_to_be_shown_not_to_be_worse_than_the_tolerance(
    better, ours, tolerance, passed
):
    which = evaluated(better, tolerance)
    worse, good = (0.1, 0.9) if better == "higher" else (0.9, 0.1)
    # The metrics themselves would decide otherwise.
    metrics = ({"score": worse}, {"score": good}) if passed else ({"score": good}, {"score": worse})
    decision = decide(which, *metrics, PINNED, scores={"score": (ours, BASE)})
    assert decision.passed is passed
    assert decision.comparisons[0].interval.examples == 40
    if not passed:
        assert f"score is not shown to be at most {tolerance:g} worse" in decision.reasons[0]
        assert "on 40 examples, with 95 % confidence" in decision.reasons[0]


def test_scores_make_up_for_a_champion_whose_metric_is_not_known_and_without_scores_the_metrics_decide():
    which = evaluated("higher", 0.05)
    assert decide(which, {"score": 0.5}, None, PINNED, scores={"score": (BASE, BASE)}).passed
    assert not decide(which, {"score": 0.5}, None, PINNED, scores={}).passed
    assert decide(which, {"score": 0.5}, {"score": 0.5}, PINNED).passed
    row = describe(decide(which, {"score": 0.5}, {"score": 0.5}, PINNED, scores={"score": (BETTER, BASE)}))[0]
    assert row["difference"].startswith("+0.01 on 40 examples, with 95 % confidence +0.")

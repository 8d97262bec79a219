"""Parameters of a run: names, types and values, and texts from a command line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ParameterInvalid
from tasks.parameters import merge_parameters, parse_assignments

DECLARED = {"trees": 10, "rate": 0.5, "fast": False, "note": "x"}

by_kind = {
    bool: st.booleans(),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(st.characters(exclude_categories=["Cs"])),
}
values = st.one_of(*by_kind.values())


def test_given_values_win_and_the_others_stay():
    merged = merge_parameters(DECLARED, {"trees": -3, "rate": 2, "note": "y"}, "here")
    assert repr(merged) == repr({"trees": -3, "rate": 2.0, "fast": False, "note": "y"})


@given(st.dictionaries(st.text(), values))
def test_the_declared_values_are_accepted_as_given_ones(declared):
    assert repr(merge_parameters(declared, declared, "here")) == repr(declared)


@pytest.mark.parametrize(
    ("given", "what", "hint"),
    [
        ({"tress": 1}, "no parameter 'tress'", "Did you mean 'trees'?"),
        ({"zzz": 1}, "no parameter 'zzz'", "pipeline-parameters"),
        ({"trees": 1.0}, "'trees' must be a whole number", "kind"),
        ({"trees": True}, "'trees' must be a whole number", "kind"),
        ({"trees": "1"}, "'trees' must be a whole number", "kind"),
        ({"rate": True}, "'rate' must be a number", "kind"),
        ({"fast": 1}, "'fast' must be true or false", "kind"),
        ({"note": 1}, "'note' must be text", "kind"),
        ({"rate": math.nan}, "'rate' must be a finite number", "another"),
        ({"rate": math.inf}, "'rate' must be a finite number", "another"),
        ({"rate": 10**400}, "'rate' is too large", "smaller"),
        ({"trees": 2**53 + 1}, "'trees' is too large", "smaller"),
        ({"trees": -(2**53) - 1}, "'trees' is too large", "smaller"),
        ({"note": "\ud800"}, "'note' is no valid text", "Unicode"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(given, what, hint):
    with pytest.raises(ParameterInvalid) as caught:
        merge_parameters(DECLARED, given, "modelflight.yaml: models.wine")
    assert what in caught.value.what
    assert caught.value.where == f"modelflight.yaml: models.wine: parameters.{next(iter(given))}"
    assert caught.value.why
    assert hint in caught.value.next_step
    str(caught.value).encode(errors="surrogatepass")


def test_assignments_are_read_as_the_declared_type():
    texts = ["trees=-3", "rate=1e-3", "fast=TRUE", "note=a=b", "unknown=1"]
    parsed = parse_assignments(texts, DECLARED, "--parameter")
    assert repr(parsed) == repr({"trees": -3, "rate": 0.001, "fast": True, "note": "a=b", "unknown": "1"})


@given(st.sampled_from(list(by_kind)), st.data())
def test_what_is_written_as_an_assignment_is_read_back(kind, data):
    value = data.draw(by_kind[kind])
    assert repr(parse_assignments([f"p={value}"], {"p": kind()}, "here")) == repr({"p": value})


@pytest.mark.parametrize("text", ["trees", "trees=", "trees=1.5", "trees=one", "rate=", "fast=yes", "fast=1"])
def test_an_assignment_that_cannot_be_read_is_refused(text):
    with pytest.raises(ParameterInvalid) as caught:
        parse_assignments([text], DECLARED, "--parameter")
    assert "--parameter" in caught.value.where
    assert caught.value.next_step

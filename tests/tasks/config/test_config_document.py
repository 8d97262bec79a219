import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config.composer import syntax_problem
from tasks.config.document import Place, read_document
from tasks.config.load import parse_project
from tasks.errors import ConfigInvalid

TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON)
def test_json_reads_as_what_it_is(value: Any) -> None:
    document = read_document(json.dumps(value))
    assert document.value == value
    assert repr(document.value) == repr(value)  # tells 1 from True and from 1.0, too
    assert document.problems == ()


@settings(deadline=None)
@given(st.text(alphabet="ab:- \n\t[]{}&*!|>'\"#%?<~1.,\\", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        read_document(text)
    except yaml.YAMLError as error:
        problem = syntax_problem(error, text)
        assert 1 <= problem.line <= text.count("\n") + 1
        assert problem.column is not None


@settings(deadline=None)
@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_whatever_stands_in_a_file_ends_in_a_config_error(text: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse_project(text, "modelflight.yaml")
    for line in caught.value.why.split("\n"):
        assert line.startswith("modelflight.yaml:")
        assert line.isprintable()


def test_each_value_has_the_line_of_its_key_and_its_own() -> None:
    places = read_document("# comment\na:\n  b: 1\nc:\n  - x\n  - 'y'\n").places
    assert places == {
        (): Place(2, 2, "a mapping"),
        ("a",): Place(2, 3, "a mapping"),
        ("a", "b"): Place(3, 3, "a whole number"),
        ("c",): Place(4, 5, "a list"),
        ("c", 0): Place(5, 5, "text"),
        ("c", 1): Place(6, 6, "text in quotes"),
    }


def test_a_key_is_text_whatever_it_looks_like() -> None:
    assert read_document("{1: a, true: b, ~: c, 2024-01-01: d}").value == {
        "1": "a",
        "true": "b",
        "~": "c",
        "2024-01-01": "d",
    }


def test_a_key_that_stands_three_times_is_reported_twice_and_keeps_its_first_value() -> None:
    document = read_document("a: 1\nb: 2\na: 3\na: 4\n")
    assert document.value == {"a": 1, "b": 2}
    assert [(problem.line, problem.message) for problem in document.problems] == [
        (3, "this key stands twice, in lines 1 and 3"),
        (4, "this key stands twice, in lines 1 and 4"),
    ]

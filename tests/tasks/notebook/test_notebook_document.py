"""Reading notebooks: what a tagged notebook says, and clear words about every one that cannot be used."""

import contextlib
import copy
import json
import os
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.errors import NotebookInvalid
from tasks.notebook.compile import mark_cells
from tasks.notebook.document import Notebook, parse_notebook, read_notebook
from tests.repositories import EXAMPLE, code, notebook, small_notebook

MARKDOWN = {"cell_type": "markdown", "metadata": {"tags": ["step:ghost"]}, "source": "# Title"}
TRAIN = code("model = 1\nmodel", "step:train")


def parsed(text: str) -> Notebook:
    return parse_notebook(text.encode(), "n.ipynb")


def refused(text: str) -> NotebookInvalid:
    with pytest.raises(NotebookInvalid) as caught:
        parse_notebook(text.encode(), "sub/n.ipynb")
    assert caught.value.where.startswith("sub/n.ipynb")
    assert caught.value.what
    assert caught.value.next_step
    return caught.value


def test_the_example_is_read():
    found = read_notebook(EXAMPLE, "wine.ipynb")
    assert found.steps == ("load", "split", "train", "evaluate")
    assert found.parameters == {"trees": 10, "depth": 2, "held_out": 0.4}
    assert found.metrics == ("accuracy",)


def test_cells_count_by_their_tags_wherever_they_stand():
    listed = code("", "step:load") | {"source": ["data = [1]\n", "data"]}
    text = notebook(
        MARKDOWN,
        code("1 / 0", "skip", "step:skipped"),
        code("import json", "imports"),
        code("def f(): ...", "functions", "hide-input"),
        code("rate = 0.5\nNAME = 'it''s'\n", "pipeline-parameters"),
        code(
            "count = 0x10; flag = True",
        ),  # goes on with the parameters
        listed,
        code("%time f()"),  # goes on with the step
        code("model = data\nmodel", "step:train", "prev:load", "limit:nvidia.com/gpu:1"),
        code("more = 1", "step:train", "prev:load"),
        code("print(loss)\n\n  print(r2_score)", "pipeline-metrics"),
        code("print(recall)"),
        code("scratch", "skip"),
    )
    found = parsed(text)
    assert found.steps == ("load", "train")
    assert found.parameters == {"rate": 0.5, "NAME": "its", "count": 16, "flag": True}
    assert found.metrics == ("loss", "r2_score", "recall")
    marked = mark_cells(found)
    assert [cell["source"] for cell in marked["cells"]][6:8] == [
        "data = [1]\ndata\n# n.ipynb, cell 7",
        "%time f()\n# n.ipynb, cell 8",
    ]
    assert [cell["source"] for cell in marked["cells"]][10:12] == [
        "print(loss)\n\n  print(r2_score)",
        "print(recall)",
    ]


def test_cell_magics_keep_their_last_line():
    text = notebook(code("%%time\nmodel = 1", "step:train"), code("  ", "step:train"))
    marked = mark_cells(parsed(text))
    assert [cell["source"] for cell in marked["cells"]] == ["%%time\nmodel = 1", "  "]


def test_a_missing_notebook_or_a_folder_is_named(tmp_path):
    (tmp_path / "folder.ipynb").mkdir()
    for name, what in (("no.ipynb", "does not exist"), ("folder.ipynb", "cannot be read")):
        with pytest.raises(NotebookInvalid, match=what) as caught:
            read_notebook(tmp_path, name)
        assert caught.value.where == name
        assert caught.value.next_step


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("", "sub/n.ipynb:1", "Expecting value"),
        ('{"cells": [\n1,\n}', "sub/n.ipynb:3", "Expecting value"),
        ("[" * 100_000, "sub/n.ipynb", "recursion"),
        ('{"nbformat": ' + "9" * 5000 + "}", "sub/n.ipynb", "digits"),
    ],
)
def test_text_that_is_no_json_is_placed(text, where, why):
    error = refused(text)
    assert error.what == "The notebook is no valid JSON."
    assert error.where == where
    assert why in error.why


def test_large_outputs_are_no_hindrance():
    document = json.loads(small_notebook())
    document["cells"][1]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": "x" * 20 * 1024**2}
    ]
    assert parsed(json.dumps(document)).steps == ("train", "evaluate")


@pytest.mark.parametrize("line", [1, 5, 9])
def test_a_committed_merge_conflict_is_named_with_its_line(line):
    lines = json.dumps(json.loads(small_notebook()), indent=1).splitlines()
    lines[line - 1 : line - 1] = ["<<<<<<< HEAD"]
    lines[line + 3 : line + 3] = ["=======", ">>>>>>> topic"]
    error = refused("\n".join(lines))
    assert error.where == f"sub/n.ipynb:{line}"
    assert error.why == "A merge conflict was committed."


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(NotebookInvalid, match="cannot be read"):
        parse_notebook(b'{"cells": "\xff"}', "n.ipynb")


@pytest.mark.parametrize("target", ["/proc/self/environ", "/dev/zero", "fifo"])
def test_a_notebook_that_leads_somewhere_else_is_not_read(target, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "n.ipynb").symlink_to(target)
    with pytest.raises(NotebookInvalid, match="cannot be read") as caught:
        read_notebook(tmp_path, "n.ipynb")
    assert caught.value.where == "n.ipynb"
    assert caught.value.why in ("It is a link that leads out of the folder.", "It is no regular file.")


def test_a_notebook_larger_than_the_limit_is_refused(tmp_path):
    with (tmp_path / "n.ipynb").open("wb") as file:
        file.truncate(100 * 1024**2 + 1)
    with pytest.raises(NotebookInvalid, match=r"larger than 100 MiB\."):
        read_notebook(tmp_path, "n.ipynb")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"nbformat": 3, "worksheets": []}, "nbformat is 3."),
        ({"nbformat": None}, "nbformat is None."),
        ({"nbformat": 5}, "nbformat is 5."),
        ({"cells": None}, "It has no list of cells."),
        ({"metadata": None}, "metadata is null, wanted an object."),
        ({"metadata": []}, "metadata is a list, wanted an object."),
        ({"metadata": {"kernelspec": None}}, "kernelspec is null, wanted an object."),
        ({"metadata": {"kernelspec": {"language": None}}}, "Its kernel's language is None."),
        ({"metadata": {"kernelspec": {"name": "ir", "language": "R"}}}, "Its kernel's language is 'R'."),
        (
            {"metadata": {"kernelspec": {"name": "python2", "language": "python"}}},
            "Its kernel is 'python2', and it was saved with Python 2.",
        ),
        (
            {"metadata": {"language_info": {"name": "python", "version": "2.7.18"}}},
            "Its kernel is None, and it was saved with Python 2.7.18.",
        ),
        (
            {"metadata": {"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}}},
            "Its kernel's language is 'R'.",
        ),
    ],
)
def test_a_notebook_of_another_format_or_language_is_refused(change, why):
    assert refused(json.dumps(json.loads(small_notebook()) | change)).why == why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"metadata": None}, "metadata is null"),
        ({"metadata": {"tags": None}}, "tags is null"),
        ({"metadata": {"tags": "step:train"}}, 'tags is "step:train"'),
        ({"metadata": {"tags": [1]}}, "tags is a list, wanted a list of texts"),
        ({"source": None}, "source is null"),
        ({"source": [None]}, "source is a list"),
        ({"source": 7}, "source is 7"),
    ],
)
def test_a_broken_cell_is_named(change, why):
    error = refused(notebook(MARKDOWN, TRAIN | change))
    assert error.where == "sub/n.ipynb, cell 2"
    assert why in error.why


@pytest.mark.parametrize("cell", [None, [], "code", {}, {"source": "x"}])
def test_a_cell_that_is_none_is_named(cell):
    document = json.loads(small_notebook())
    document["cells"].insert(1, cell)
    assert refused(json.dumps(document)).where == "sub/n.ipynb, cell 2"


@pytest.mark.parametrize(
    ("cells", "where", "what"),
    [
        ([], "", "no tagged steps"),
        ([MARKDOWN, code("x = 1"), code("x", "skip")], "", "no tagged steps"),
        ([TRAIN, code("x", "step:test", "prev:trian")], ", cell 2", "'prev:trian'"),
        ([code("x", "step:train", "prev:train")], ", cell 1", "'prev:train'"),
        ([code("x", "step:load", "skip"), code("y", "step:train", "prev:load")], ", cell 2", "'prev:load'"),
        ([TRAIN, code("x", "step:Test")], ", cell 2", "'step:Test'"),
        ([TRAIN, code("x", "step:")], ", cell 2", "'step:'"),
        ([TRAIN, code("x", "step:my-step")], ", cell 2", "'step:my-step'"),
        ([TRAIN, code("x", "step:train\n")], ", cell 2", "names no step"),
        ([TRAIN, code("x", "step:b", "prev:a b")], ", cell 2", "'prev:a b'"),
        ([TRAIN, code("x", "step:a", "step:b")], ", cell 2", "more than one step"),
        ([TRAIN, code("", "notebook:other")], ", cell 2", "another notebook"),
    ],
)
def test_tags_that_make_no_pipeline_are_refused_with_their_cell(cells, where, what):
    error = refused(notebook(*cells))
    assert error.where == f"sub/n.ipynb{where}"
    assert what in error.what


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ("a = 1\nb = [1]", 2, "Found: b = [1]"),
        ("a = -1", 1, "Found: a = -1"),
        ("a = None", 1, "a = None"),
        ("a = 1j", 1, "a = 1j"),
        ("a = b'x'", 1, "a = b'x'"),
        ("a = ...", 1, "a = ..."),
        ("a: int = 1", 1, "a: int = 1"),
        ("a = b = 1", 1, "a = b = 1"),
        ("a, b = 1, 2", 1, "a, b = 1, 2"),
        ("a = f'{1}'", 1, "f'{1}'"),
        ("\nimport os", 2, "import os"),
        ("a = (\n  'x'\n  'y')\nprint(a)", 4, "print(a)"),
        ("a = 1\nb = = 2", 2, "invalid syntax"),
        ("a = 1\n%time", 2, "invalid syntax"),
        ("a = 'x", 1, "unterminated"),
        ("a = '\0'", None, "null bytes"),
        ("a = " + "(" * 1000 + "1" + ")" * 1000, 1, "parentheses"),
        ("a = " + "-" * 100_000 + "1", None, ""),
        ("a = '\\ud800'", 1, "half a character"),
        ("a = 1e999", 1, "too large"),
        ("a = 9007199254740993", 1, "lose digits"),
    ],
)
def test_a_parameter_that_a_pipeline_cannot_carry_is_placed(source, line, said):
    error = refused(notebook(TRAIN, code(source, "pipeline-parameters")))
    assert error.where == "sub/n.ipynb, cell 2" + (f", line {line}" if line else "")
    assert said in error.why


def test_half_a_character_in_the_parameters_cell_is_refused():
    text = notebook(TRAIN, code("a = 'HERE'", "pipeline-parameters")).replace("HERE", "\\ud800")
    assert refused(text).where == "sub/n.ipynb, cell 2"


def test_an_odd_escape_in_a_parameter_is_no_problem():
    text = notebook(TRAIN, code(r"pattern = '\d+'", "pipeline-parameters"))
    assert parsed(text).parameters == {"pattern": r"\d+"}


def test_parameters_that_differ_in_case_only_are_refused():
    cells = (
        code("Rate = 1\ndepth = 1", "pipeline-parameters"),
        code("RATE = 2\ndepth = 2", "pipeline-parameters"),
    )
    error = refused(notebook(TRAIN, *cells))
    assert error.what == "Parameters differ in upper and lower case only: rate."


@pytest.mark.parametrize(
    "line",
    [
        "print(loss, recall)",
        "loss",
        "print('loss')",
        "print(Loss)",
        "x = 1",
        "# note",
        "print(a.b)",
        "print(_a)",
    ],
)
def test_other_code_in_the_metrics_cell_is_placed(line):
    error = refused(notebook(TRAIN, code(f"print(loss)\n\n{line}", "pipeline-metrics")))
    assert error.where == "sub/n.ipynb, cell 2, line 3"
    assert error.why == f"Found: {line}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
tags = st.sampled_from(["step:a", "prev:a", "skip", "pipeline-parameters", "pipeline-metrics", "x", 1, None])
cells = st.fixed_dictionaries(
    {"cell_type": st.just("code")},
    optional={
        "source": st.text() | st.lists(st.text(), max_size=2) | json_values,
        "metadata": st.fixed_dictionaries({"tags": st.lists(tags, max_size=3)}) | json_values,
    },
)
documents = st.fixed_dictionaries(
    {"nbformat": st.just(4), "cells": st.lists(cells | json_values, max_size=4)},
    optional={
        "metadata": json_values
        | st.dictionaries(st.sampled_from(["kernelspec", "language_info"]), json_values)
    },
)


@given(documents | json_values)
@example({"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": 1}}})
def test_any_json_is_a_notebook_or_refused(document):
    read_or_refused(json.dumps(document))


@given(st.text())
def test_any_text_is_a_notebook_or_refused(text):
    read_or_refused(text)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


SMALL = json.loads(small_notebook())


@given(place=st.sampled_from(places(SMALL)[1:]), value=json_values)
def test_a_notebook_with_any_one_part_replaced_is_read_or_refused(place, value):
    document = copy.deepcopy(SMALL)
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    read_or_refused(json.dumps(document))


def read_or_refused(text: str) -> None:
    with contextlib.suppress(NotebookInvalid):
        read = parse_notebook(text.encode("utf-8", "replace"), "n.ipynb")
        assert read.steps
        mark_cells(read)


@pytest.mark.parametrize(
    ("tag", "hint"),
    [("stp:train", "'step'"), ("hide-input", "step"), ("pipeline-metric", "'pipeline-metrics'")],
)
def test_a_tag_that_kale_would_refuse_is_named_with_its_cell(tag, hint):
    cells = [code("x = 1", "step:load"), code("y = 1", "step:train", tag)]
    with pytest.raises(NotebookInvalid) as caught:
        parse_notebook(notebook(*cells).encode(), "n.ipynb")
    assert tag in caught.value.what
    assert caught.value.where == "n.ipynb, cell 2"
    assert hint in caught.value.next_step

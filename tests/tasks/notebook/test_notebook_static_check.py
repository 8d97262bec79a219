"""What Kale compiles without a word: each case is compiled by the real one, and found before."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import NotebookInvalid
from tasks.notebook.compile import compile_notebook
from tasks.notebook.document import code_cells, parse_notebook, read_notebook
from tasks.notebook.flow import read_flow
from tasks.notebook.static_check import findings
from tests.repositories import EXAMPLE, code, notebook, small_notebook
from tests.tasks.notebook.test_notebook_compile import nasty_notebook, settings

TOP = Path(__file__).parents[3]
A = code("x = 1", "step:a")
B = code("y = x", "step:b", "prev:a")
B_TIMES_T = code("y = x * t", "step:b", "prev:a")

SILENT = {
    "a name that is nowhere": (
        [A, code("y = x\n\nz = (y,\n modl)", "step:b", "prev:a")],
        ["error 2:4 'modl' is not defined in step 'b'"],
    ),
    "a name of a step that is not before": (
        [A, code("print(x)", "step:b")],
        ["error 2:1 'x' is not defined in step 'b', nor in what runs before it. Step 'a' defines it: tag"],
    ),
    "a name of a cell that is in no step": (
        [code("k = 1"), A, code("k = 2", "skip"), code("y = x + k", "step:b", "prev:a")],
        ["error 4:1 'k' is not defined in step 'b', nor in what runs before it. Cell 1 defines it, but"],
    ),
    "code beside functions that needs a step": (
        [code("import json", "imports"), code("def f(): ...\ng = x", "functions"), A, B],
        ["error 2:2 'x' is not defined in step 'a', nor in what runs before it. Step 'a' defines it after"],
    ),
    "a star import": (
        [code("from math import *", "imports"), A, code("y = sin(x)", "step:b", "prev:a")],
        ["error 3:1 Kale does not hand 'x' on from step 'a' to 'b'"],
    ),
    "an operator at the beginning of a line": (
        [A, code("y = (\n    '%s'\n    % x\n)", "step:b", "prev:a")],
        ["error 2:3 Kale does not hand 'x' on from step 'a' to 'b'"],
    ),
    "a name that a pattern binds": (
        [code("match 1:\n    case x: ...", "step:a"), B],
        ["error 2:1 Kale does not hand 'x' on from step 'a' to 'b'"],
    ),
    "a variable of a comprehension on the way": (
        [A, code("y = [x for x in 'ab']", "step:b", "prev:a"), code("z = x", "step:c", "prev:b")],
        ["error 3:1 Kale takes 'x' for step 'c' from step 'b', which has it only within a comprehension"],
    ),
    "a variable that was deleted on the way": (
        [A, code("y = x\ndel x", "step:b", "prev:a"), code("z = x", "step:c", "prev:b")],
        ["error 3:1 Kale takes 'x' for step 'c' from step 'b', which deletes it."],
    ),
    "a metric that is nowhere": (
        [A, B, code("print(y)\nprint(loss)", "pipeline-metrics")],
        ["error 3:2 No step defines the metric 'loss', and Kale leaves it out."],
    ),
    "a tag that carries nothing": (
        [A, code("w = 1", "step:b"), code("y = x", "step:c", "prev:a", "prev:b")],
        ["warning 3: Step 'c' gets nothing from 'b'"],
    ),
    "a cycle": (
        [A, B, code("x = 2", "step:a", "prev:b")],
        ["error 3: The cell goes on with step 'a' after 'b'"],
    ),
    "a tag on a later cell of a step": (
        [A, B, code("z = 1", "step:b", "prev:a", "label:team:wine")],
        ["warning 3: Kale ignores the tag 'label:team:wine': step 'b' begins in cell 2."],
    ),
    "an edge on a later cell of a step": (
        [A, B, code("w = 1", "step:c"), code("z = 1", "step:b", "prev:c")],
        ["warning 4: Kale ignores the tag 'prev:c': step 'b' begins in cell 2."],
    ),
    "a limit": (
        [code("x = 1", "step:a", "limit:cpu:1", "limit:nvidia.com/gpu:1"), B],
        ["warning 1: Kale drops 'limit:cpu:1'"],
    ),
    "an import in a step": (
        [code("import sklearn", "imports"), code("import json, yaml, sklearn.svm as x", "step:a"), B],
        ["warning 2:1 Kale does not install 'yaml'"],
    ),
    "a parameter that a step replaces": (
        [code("t = 1", "pipeline-parameters"), code("x = 1\nt = x * 2", "step:a"), B_TIMES_T],
        ["error 2:2 Step 'a' replaces the parameter 't', but b gets it as it was set."],
    ),
    "a parameter that the functions cell replaces": (
        [code("t = 1", "functions"), code("t = 2", "pipeline-parameters"), code("x = t", "step:a"), B],
        ["error 1:1 The parameter 't' is replaced here in every step"],
    ),
    "a step with the name of a part": (
        [A, code("y = x", "step:skip", "prev:a")],
        ["error 2: Kale takes the tag 'step:skip' for 'skip', and makes no step of the cell."],
    ),
}

RIGHT = {
    "an annotation in quotes": [A, code("w = 1", "step:w"), code("def f(y: 'x'): ...", "step:b", "prev:a")],
    "steps side by side": [
        code("x = w = 1", "step:z"),
        code("y = x\ndisplay(y)", "step:c", "prev:z"),
        code("y = x + w\nv = 1", "step:b", "prev:z"),
        code("import os.path\nprint(w)", "step:alone", "prev:z"),
        code("display(y, v)", "step:d", "prev:c", "prev:b"),
        code("print(x)", "step:c"),
        code("print(w, y)\ndef f(): return v\nf()", "step:e", "prev:d"),
    ],
}

CELLS = {name: cells for name, (cells, _) in SILENT.items()} | RIGHT
COMPILE = f"""
import json, os, sys
sys.path.insert(0, {str(TOP)!r})
from tasks.notebook.kale_process import compile_notebook
for folder in sys.argv[1:]:
    os.chdir(folder)
    compile_notebook("n.ipynb", "small", [], None)
"""


def found_in(text: str) -> list[str]:
    return [
        f"{'error' if each.error else 'warning'} {each.cell}:{each.line or ''} {each.what} {each.next_step}"
        for each in findings(parse_notebook(text.encode(), "n.ipynb"))
    ]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """The pipeline that Kale makes of each silent case and of notebooks without a finding."""
    top = tmp_path_factory.mktemp("silent")
    folders = {name: top / str(number) for number, name in enumerate(CELLS)}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "n.ipynb").write_text(notebook(*CELLS[name]))
    environment = {"HOME": str(top), "KUBECONFIG": "/dev/null", "PATH": "/usr/bin:/bin", "HOSTNAME": "h"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMPILE, *map(str, folders.values())],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: next(yaml.safe_load_all((folder / "pipeline.yaml").read_text()))
        for name, folder in folders.items()
    }


@pytest.mark.parametrize("case", SILENT)
def test_what_kale_compiles_without_a_word_is_found_with_cell_and_line(case, compiled):
    assert compiled[case]["root"]["dag"]["tasks"]
    cells, expected = SILENT[case]
    found = found_in(notebook(*cells))
    assert len(found) == len(expected), found
    for each, beginning in zip(found, expected, strict=True):
        assert each.startswith(beginning)


@pytest.mark.parametrize("case", [case for case in CELLS if "name of a part" not in case])
def test_values_and_order_between_steps_are_foreseen_as_kale_makes_them(case, compiled):
    document = parse_notebook(notebook(*CELLS[case]).encode(), "n.ipynb")
    flow = read_flow(tuple(code_cells(document.document, "n.ipynb")), frozenset(document.parameters))
    assert flow is not None
    tasks = compiled[case]["root"]["dag"]["tasks"]
    assert {
        f"{step}-step": {f"{name}_input_artifact": f"{giver}-step" for name, giver in givers.items()}
        for step, givers in flow.givers.items()
    } == {
        name: {
            artifact: source["taskOutputArtifact"]["producerTask"]
            for artifact, source in task["inputs"].get("artifacts", {}).items()
        }
        if "inputs" in task
        else {}
        for name, task in tasks.items()
    }

    def before(task: str) -> set[str]:
        waits_for = tasks[task].get("dependentTasks", [])
        return set(waits_for).union(*map(before, waits_for))

    for step, others in flow.before.items():
        assert before(f"{step}-step") == {f"{other}-step" for other in others}


DOUBTFUL = [
    "def f():\n    return u",
    "f = lambda: u",
    "if x > 1:\n    u",
    "y = u if x > 1 else 1",
    "y = x or u",
    "for _ in range(x):\n    u",
    "while x > 1:\n    u",
    "try:\n    u\nexcept Exception:\n    u = 1",
    "import contextlib\nwith contextlib.suppress(NameError):\n    del u",
    "match x:\n    case 1: u",
    "def f(y: u): ...",
    "y = [u for _ in range(x)]",
    "exec('u = 1')\nu",
    "globals()['u'] = 1\nu",
    "get_ipython().push({'u': 1})\nu",
]


@pytest.mark.parametrize("source", DOUBTFUL)
def test_a_name_that_may_never_be_used_or_be_defined_unseen_is_a_warning(source):
    found = found_in(notebook(A, code(f"{source}\nx", "step:b", "prev:a")))
    assert [each.split()[0] for each in found] == ["warning"]
    assert "'u' is not defined in step 'b'" in found[0]


FINE = [
    "y = [x for x in range(3)]\nz = {k: v for k, v in {}.items()}\nlambda q, *r, s=x: q",
    "try:\n    import numpy\nexcept ImportError as error:\n    print(error)",
    "try:\n    u\nexcept NameError:\n    u = 1",
    "def f():\n    global g\n    g = 1\nf()\nprint(g)",
    "def f():\n    return later\nlater = 1\nf()",
    "class A:\n    y = x\n    def f(self) -> 'A': return __class__",
    "display(_, __, _3, _i3, In, Out, get_ipython, exit)\n__name__, __file__, __doc__, __builtins__",
    "y: 'Unknown' = 1\nwith open(__name__) as file, file: file.read()",
    "if (n := 1) > 0: print(n)\nfor i in range(3): pass\nprint(i)",
    "x += 1\nx: int = int(x)\ny = f'{x!r:>{x}}'",
    "from __future__ import annotations\ndef f(y: Later): ...\nclass Later: ...",
    "import os.path, json as j\nos.sep, j\nasync def f(): return x\nawait f()",
    "match x:\n    case {'k': v, **rest}: print(v, rest)\n    case [a, *b]: print(a, b)",
    "def f[T](y: T) -> T: return y" if sys.version_info >= (3, 12) else "",
    "%matplotlib inline\n!ls\nnowhere",  # Kale refuses it
    "nowhere = (",
]


@pytest.mark.parametrize("source", FINE)
def test_what_python_and_the_kernel_define_is_no_finding(source):
    assert [
        each for each in found_in(notebook(A, code(source, "step:b", "prev:a"))) if "numpy" not in each
    ] == []


def test_notebooks_that_are_right_have_no_finding():
    assert findings(read_notebook(EXAMPLE, "wine.ipynb")) == ()
    assert found_in(small_notebook()) == []
    assert [found_in(notebook(*cells)) for cells in RIGHT.values()] == [[], []]
    assert found_in(nasty_notebook()) == []


def test_functions_may_use_what_only_some_steps_have():
    helper = code("def f():\n    return x + t\ndef g():\n    return nowhere", "functions")
    parameters = code("t = 1", "pipeline-parameters")
    steps = (code("w = t", "step:before"), A, code("f()", "step:b", "prev:a"))
    found = found_in(notebook(helper, parameters, *steps))
    assert [each.split(",")[0] for each in found] == ["warning 1:4 'nowhere' is not defined in step 'before'"]


def test_what_a_star_import_may_define_is_left_alone():
    star = code("from math import *", "imports")
    cells = (A, code("get_ipython()", "step:b", "prev:a"), code("z = sin(1)", "step:c", "prev:b"))
    assert found_in(notebook(star, *cells)) == []
    own = code("from math import *\ny = x", "step:b", "prev:a")
    assert [each.split()[0] for each in found_in(notebook(A, own))] == ["warning"]


lines = st.sampled_from(
    [
        "x = 1",
        "y = x",
        "del x",
        "[x for x in y]",
        "def f():",
        "  return x",
        "import x.y",
        "from z import *",
        "class y:",
        "try:",
        "except x as y: pass",
        "  global x",
        "% y",
        "!ls",
        "\x00",
        "t += 1",
        "lambda: (yield)",
    ]
)
tags = st.sampled_from(
    [[], ["step:a"], ["step:b"], ["imports"], ["functions"], ["skip"], ["step:b", "prev:a"]]
)
cells = st.tuples(st.lists(lines, max_size=5).map("\n".join) | st.text(), tags)


@given(st.lists(cells, max_size=5))
def test_any_cells_can_be_checked(chosen):
    parameters = code("t = 1", "pipeline-parameters")
    found_in(notebook(parameters, A, *(code(source, *tagged) for source, tagged in chosen)))


def test_code_that_is_nested_too_deeply_is_left_to_kale():
    assert found_in(notebook(A, code("y = " + "-" * 5000 + "nowhere", "step:b"))) == []
    assert found_in(notebook(A, code("y = " + " + ".join(["nowhere"] * 3000), "step:b"))) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("x = 1\nt = int(t)", "y = t", "warning"),
        ("if t > 3:\n    t = 3", "y = t", "warning"),
        ("t += 1", "def f(): return t", "warning"),
        ("t += 1", "t = 2\ny = t", ""),
        ("[t for t in 'ab']\ndef f(t): t = 1", "y = t", ""),
    ],
)
def test_a_parameter_that_may_keep_its_value_is_no_error(first, second, expected):
    parameters = code("t = 1", "pipeline-parameters")
    cells = (parameters, code(f"x = 1\n{first}", "step:a"), code(f"{second}\nx", "step:b", "prev:a"))
    assert [each.split()[0] for each in found_in(notebook(*cells))] == [expected][: bool(expected)]


def test_a_parameter_that_functions_replace_further_below_is_no_error():
    cells = (code("t = 1", "pipeline-parameters"), code("t = 2", "functions"), A)
    assert [each.split()[0] for each in found_in(notebook(*cells))] == ["warning"]


def test_limits_in_the_metadata_are_found():
    document = json.loads(notebook(A))
    document["metadata"]["kubeflow_notebook"] = {
        "steps_defaults": ["limit:memory:1Gi", "limit:amd.com/gpu:1"]
    }
    (found,) = findings(parse_notebook(json.dumps(document).encode(), "n.ipynb"))
    assert str(found).startswith("metadata: Kale drops 'limit:memory:1Gi'")
    for odd in (None, [], {"steps_defaults": None}, {"steps_defaults": [1, {}]}):
        document["metadata"]["kubeflow_notebook"] = odd
        assert found_in(json.dumps(document)) == []


def test_all_errors_are_told_at_once_before_kale_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    (tmp_path / "small.ipynb").write_text(
        notebook(A, code("# a\r\nuu\nif x: vv", "step:b"), code("ww", "step:b"), code("x = zz", "step:c"))
    )
    with pytest.raises(NotebookInvalid) as caught:
        compile_notebook(tmp_path, settings(), tmp_path / "p")
    assert caught.value.where == "small.ipynb"
    assert [line.split(" is not")[0] for line in caught.value.why.splitlines()] == [
        "cell 2, line 2: 'uu'",
        "cell 2, line 3: 'x'",
        "cell 3, line 1: 'ww'",
        "cell 4, line 1: 'zz'",
    ]
    assert not (tmp_path / "p").exists()


def test_what_the_warnings_speak_of_is_missing_in_kales_pipeline(compiled):
    limited = compiled["a limit"]["deploymentSpec"]["executors"]["exec-a-step"]["container"]
    assert set(limited["resources"]) == {"accelerator"}
    executors = compiled["an import in a step"]["deploymentSpec"]["executors"]
    installed = executors["exec-a-step"]["container"]["command"][2]
    assert "scikit-learn" in installed
    assert "yaml" not in installed.lower()
    assert "wine" not in json.dumps(compiled["a tag on a later cell of a step"])
    metrics = json.dumps(compiled["a metric that is nowhere"])
    assert '\\"y\\": y' in metrics.replace("\\\\", "\\")
    assert "loss" not in metrics

"""What of a notebook comes along when one of its functions evaluates models."""

from tasks.notebook.document import parse_notebook
from tasks.notebook.evaluation import defines, evaluation_cells
from tests.repositories import code, notebook

NOTEBOOK = parse_notebook(
    notebook(
        code("import math", "imports"),
        code("import os"),
        code("trees = 1\nname = 'a'", "pipeline-parameters"),
        code("def score(folder):\n    return [trees]", "functions"),
        code("raise Exception", "skip"),
        code("def other():\n    def inner(): pass"),
        code("def train(): pass\nmodel = 1", "step:train"),
    ).encode(),
    "n.ipynb",
)


def test_parameters_imports_and_functions_come_along_and_no_step():
    assert evaluation_cells(NOTEBOOK, {"trees": 5, "name": "it's"}) == (
        'trees = 5\nname = "it\'s"',
        "import math\n# n.ipynb, cell 1",
        "import os\n# n.ipynb, cell 2",
        "def score(folder):\n    return [trees]\n# n.ipynb, cell 4",
        "def other():\n    def inner(): pass\n# n.ipynb, cell 6",
    )


def test_only_functions_of_their_own_cells_are_found():
    found = {name for name in ("score", "other", "inner", "train", "scor", "math") if defines(NOTEBOOK, name)}
    assert found == {"score", "other"}

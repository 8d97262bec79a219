"""Evaluation functions run as a notebook's steps do: apart from us, and with plain errors."""

from pathlib import Path

import pytest

from tasks.errors import StepFailed
from tasks.kubeflow.evaluation import evaluate

CELLS = (
    "scale = 2",
    "import os, numpy as np\n# n.ipynb, cell 2",
    "def scores(folder):\n"
    "    if 'PREFECT_API_KEY' in os.environ or os.environ['HOME'] == '/': raise RuntimeError('not apart')\n"
    "    return scale * np.array((folder / 'model').read_text().split(), dtype=float)\n"
    "def words(folder):\n    return ['a']\n"
    "# n.ipynb, cell 3",
)


def writes(content: str):
    return lambda folder: (folder / "model").write_text(content)


def test_each_function_gives_each_model_its_scores_also_a_second_time(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "key")
    lines: list[str] = []
    for again in ("3", "4"):
        found = evaluate(
            CELLS,
            ["scores"],
            {"challenger": writes("1 2"), "champion": writes(f"0.5 {again}")},
            tmp_path / "runs" / "gate",
            lines.append,
        )
        assert found == {("scores", "challenger"): (2, 4), ("scores", "champion"): (1, 2 * float(again))}
    assert lines[0] == "scores-challenger ..."


@pytest.mark.parametrize(
    ("function", "model", "told"),
    [
        ("scores", "x", "could not convert string to float: 'x'"),
        ("words", "1", "could not convert string to float: 'a'"),
        ("missing", "1", "name 'missing' is not defined"),
    ],
)
def test_what_goes_wrong_is_told_with_the_model_and_the_traceback(tmp_path: Path, function, model, told):
    with pytest.raises(StepFailed, match=f"'{function}-champion' failed") as caught:
        evaluate(CELLS, [function], {"champion": writes(model)}, tmp_path / "gate")
    assert told in caught.value.what
    assert "Traceback" in caught.value.why
    log = caught.value.next_step.rpartition(" ")[2]
    assert Path(log).exists()

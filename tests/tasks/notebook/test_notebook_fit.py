"""What a model asks for and its notebook cannot give is an input mistake, told before anything runs."""

import pytest

from tasks.errors import NotebookInvalid, NotSupported, ParameterInvalid
from tasks.model import Model
from tasks.notebook.fit import check_model
from tests.repositories import code, notebook, small_notebook


def model(**changes: object) -> Model:
    return Model.model_validate(
        {
            "name": "small",
            "notebook": "small.ipynb",
            "gate": {"metric": "score"},
            "image": "registry.example.com/models/small",
            "fleet": {"repository": "../fleet.git", "path": "apps/small"},
        }
        | changes
    )


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "small.ipynb").write_text(small_notebook())
    return tmp_path


def test_a_model_that_fits_gives_its_notebook(directory):
    found = check_model(model(parameters={"weight": 3}), directory)
    assert (found.name, found.steps, found.metrics) == ("small.ipynb", ("train", "evaluate"), ("score",))
    assert found.parameters == {"weight": 9}


def test_metrics_that_the_notebook_does_not_print_are_wrong_input(directory):
    gate = [{"metric": "loss"}, {"metric": "score"}, {"metric": "recall"}]
    with pytest.raises(NotebookInvalid, match="does not produce the gate's 'loss', 'recall'") as caught:
        check_model(model(gate=gate), directory)
    assert caught.value.exit_code == 2
    assert caught.value.where == "modelflight.yaml: models.small.gate"
    assert caught.value.why == "Its pipeline-metrics cell prints: score."
    assert "`print(loss); print(recall)`" in caught.value.next_step


def test_a_function_that_evaluates_models_has_to_be_in_a_cell_tagged_functions(directory):
    gate = {"metric": "score", "evaluate": {"function": "correct"}}
    define = "import os\n%time\ndef correct(folder):\n    return [1]"
    cells = [code("model = 1\nscore = 1", "step:train"), code("print(score)", "pipeline-metrics")]
    for role in ("imports", "functions"):
        (directory / "small.ipynb").write_text(notebook(code(define, role), *cells))
        if role == "functions":
            assert check_model(model(gate=gate), directory).name == "small.ipynb"
            continue
        with pytest.raises(NotebookInvalid, match="does not define the gate's function 'correct'") as caught:
            check_model(model(gate=gate), directory)
        assert "`def correct(folder):`" in caught.value.next_step


def test_a_notebook_without_metrics_says_so(directory):
    (directory / "small.ipynb").write_text(notebook(code("model = 1\nmodel", "step:train")))
    with pytest.raises(NotebookInvalid, match="prints: nothing"):
        check_model(model(), directory)


def test_a_parameter_that_the_notebook_does_not_have_is_named_with_its_model(directory):
    with pytest.raises(ParameterInvalid) as caught:
        check_model(model(parameters={"height": 1}), directory)
    assert "models.small" in caught.value.where


def test_what_this_version_cannot_do_is_refused(directory):
    with pytest.raises(NotSupported) as caught:
        check_model(model(fleet={"repository": "../f", "path": "a", "mode": "pull-request"}), directory)
    assert caught.value.where == "modelflight.yaml: models.small.fleet.mode"
    assert caught.value.next_step

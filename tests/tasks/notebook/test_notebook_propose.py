"""A proposed `modelflight.yaml` is one that loads, whatever the notebooks are called and hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.load import load_project
from tasks.errors import InvalidInput
from tasks.notebook.propose import propose
from tests.repositories import EXAMPLE, code, notebook, small_notebook


def proposed(folder):
    (folder / "modelflight.yaml").write_text(propose(folder), encoding="utf-8")
    return load_project(folder / "modelflight.yaml").models


def with_metrics(*names: str, parameters: str = "weight = 1") -> str:
    return notebook(
        code(parameters, "pipeline-parameters"),
        code("model = 1\nmodel", "step:train"),
        code("\n".join(f"print({name})" for name in names), "pipeline-metrics"),
    )


def test_the_example_gets_the_settings_that_fit_it(tmp_path):
    (tmp_path / "wine.ipynb").write_bytes((EXAMPLE / "wine.ipynb").read_bytes())
    (model,) = proposed(tmp_path)
    assert (model.name, model.notebook) == ("wine", "wine.ipynb")
    assert model.parameters == {"trees": 10, "depth": 2, "held_out": 0.4}
    assert [(each.metric, each.better) for each in model.gate] == [("accuracy", "higher")]


def test_odd_names_make_models_of_their_own(tmp_path):
    stems = [
        "My Model",
        "my-model",
        "my_model",
        "123",
        "null",
        "\U0001f600é",
        "quote\"'",
        "x" * 200,
        "a: b #c",
    ]
    names = [f"{stem}.ipynb" for stem in stems]
    for name in names:
        (tmp_path / name).write_text(small_notebook())
    models = proposed(tmp_path)
    assert sorted(model.notebook for model in models) == sorted(names)
    assert len({model.name for model in models}) == len(names)
    assert {"123", "null", "my-model", "my-model-2", "my-model-3", "model", "quote", "a-b-c"} < {
        m.name for m in models
    }


@given(
    st.dictionaries(
        st.sampled_from(["a", "no", "on", "null", "y", "e1", "type", "\u00e4"]),
        st.booleans()
        | st.integers(0, 2**53)
        | st.floats(0, 1e300)
        | st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "\0" not in text),
    )
)
def test_parameters_are_proposed_as_they_are(tmp_path_factory, parameters):
    folder = tmp_path_factory.mktemp("propose")
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    (folder / "n.ipynb").write_text(with_metrics("score", parameters=source))
    (model,) = proposed(folder)
    assert repr(sorted(model.parameters.items())) == repr(sorted(parameters.items()))


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("accuracy", "higher"),
        ("f1", "higher"),
        ("image_score", "higher"),
        ("glossary", "higher"),
        ("on", "higher"),
        ("null", "higher"),
        ("loss", "lower"),
        ("val_loss", "lower"),
        ("logloss", "lower"),
        ("rmse", "lower"),
        ("test_mae", "lower"),
        ("mean_absolute_error", "lower"),
        ("latency_ms", "lower"),
    ],
)
def test_the_direction_follows_the_metrics_name(metric, better, tmp_path):
    (tmp_path / "n.ipynb").write_text(with_metrics(metric, "other"))
    (model,) = proposed(tmp_path)
    assert [(each.metric, each.better) for each in model.gate] == [(metric, better)]
    assert "also prints: other" in (tmp_path / "modelflight.yaml").read_text()


def test_without_a_usable_notebook_it_says_what_each_one_lacks(tmp_path):
    with pytest.raises(InvalidInput, match=r"no \.ipynb file"):
        propose(tmp_path)
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "plain.ipynb").write_text(notebook(code("x = 1")))
    (tmp_path / "silent.ipynb").write_text(notebook(code("x = 1", "step:train")))
    with pytest.raises(InvalidInput) as caught:
        propose(tmp_path)
    lines = caught.value.why.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "broken.ipynb",
        "folder.ipynb",
        "plain.ipynb",
        "silent.ipynb",
    ]
    assert caught.value.where == str(tmp_path)
    assert caught.value.next_step

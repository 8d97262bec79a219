"""Which models a push changed: by their entries in modelflight.yaml and by their files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.changed import changed_models
from tasks.errors import ConfigInvalid

ENTRY = """\
  - name: {name}
    notebook: {name}.ipynb
    parameters: {{weight: {weight}}}
    environment: {{requirements: shared.lock}}
    paths: [{name}/, "lib/**/*.py"]
    gate: {{metric: score}}
    image: registry.example.com/{name}
    fleet: {{repository: ../fleet.git, path: apps/{name}}}
"""
NAMES = ("wine", "rain", "snow")


def settings(weights: dict[str, int]) -> str:
    entries = (ENTRY.format(name=name, weight=weight) for name, weight in weights.items())
    return "version: 1\nmodels:\n" + "".join(entries)


BOTH = settings({"wine": 1, "rain": 1})


@pytest.mark.parametrize(
    ("files", "changed"),
    [
        (["wine.ipynb"], {"wine"}),
        (["wine/a/b.csv", "README.md"], {"wine"}),
        (["lib/a.py"], {"wine", "rain"}),
        (["shared.lock"], {"wine", "rain"}),
        (["README.md", "lib/a.txt", "other.ipynb", "modelflight.yaml"], set()),
        ([], set()),
    ],
)
def test_a_model_is_changed_by_its_files(files, changed):
    assert changed_models(BOTH, BOTH, files) == changed


def test_a_model_is_changed_by_its_own_entry_alone():
    assert changed_models(BOTH, settings({"wine": 2, "rain": 1}), ["modelflight.yaml"]) == {"wine"}


def test_the_order_and_comments_change_nothing():
    turned = "# Ours\n" + settings({"rain": 1, "wine": 1})
    assert changed_models(BOTH, turned, ["modelflight.yaml"]) == frozenset()


def test_a_new_model_is_changed_and_one_that_vanished_is_not():
    assert changed_models(BOTH, settings({"rain": 1, "snow": 1}), ["modelflight.yaml"]) == {"snow"}


@pytest.mark.parametrize("before", [None, "", "models: [", "version: 7"])
def test_without_a_readable_file_before_all_models_are_changed(before):
    assert changed_models(before, BOTH, []) == {"wine", "rain"}


def test_problems_of_the_new_file_are_told():
    with pytest.raises(ConfigInvalid):
        changed_models(BOTH, "version: 7", [])


WEIGHTS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), min_size=1)
FILES = st.sets(st.sampled_from([*(f"{name}.ipynb" for name in NAMES), "wine/x", "README.md"]))


@given(WEIGHTS, WEIGHTS, FILES)
def test_a_changed_model_is_one_whose_entry_or_file_differs(before, after, files):
    expected = {
        name
        for name, weight in after.items()
        if before.get(name) != weight or f"{name}.ipynb" in files or (name == "wine" and "wine/x" in files)
    }
    assert changed_models(settings(before), settings(after), files) == expected

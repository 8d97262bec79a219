"""Reading pipelines: the order of steps, what is refused by name, and text that is no pipeline."""

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import InvalidInput, NotSupported, ParameterInvalid
from tasks.kubeflow.ir import ArtifactSource, pipeline_parameters, read_ir
from tests.tasks.kubeflow.pipelines import a, pipeline, spec

TWO = (
    a("train", "model = 1", leaves=("model",)),
    a("evaluate", "1", takes={"model": "train"}, metrics=("score",)),
)


def written(path: Path, document: object) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def test_steps_come_after_what_they_depend_on_with_their_wiring(tmp_path):
    steps = (
        a("zeta", "1", leaves=("data",)),
        a("alpha", "1", takes={"data": "zeta"}, leaves=("model",)),
        a("beta", "1", after=("alpha",)),
    )
    ir = pipeline(tmp_path / "ir.yaml", *reversed(steps), packages=("kfp>=2.0.0", "pandas==2.1"))
    zeta, alpha, beta = read_ir(ir)
    assert (zeta.name, alpha.name, beta.name) == ("zeta-step", "alpha-step", "beta-step")
    assert alpha.inputs == {"data_input_artifact": ArtifactSource("zeta-step", "data_output_artifact")}
    assert alpha.outputs == {"model_output_artifact": "system.Model"}
    assert alpha.packages == ("kfp>=2.0.0", "pandas==2.1")
    assert alpha.function == "alpha_step"
    assert "def alpha_step(" in alpha.source


def test_an_artifacts_producer_comes_first_even_where_only_the_wiring_says_so(tmp_path):
    document = spec(*(a("b", "1", leaves=("data",)), a("a", "1", takes={"data": "b"})))
    for task in document["root"]["dag"]["tasks"].values():
        del task["dependentTasks"]
    assert [step.name for step in read_ir(written(tmp_path / "ir.yaml", document))] == ["b-step", "a-step"]


def test_parameters_keep_their_types_and_take_overrides(tmp_path):
    values = {"count": 3, "rate": 2.0, "flag": True, "text": "1.0"}
    document = spec(a("train", "1"), parameters=values)
    definitions = document["root"]["inputDefinitions"]["parameters"]
    definitions["count"]["defaultValue"] = 3.0  # as protobuf's JSON has it
    definitions["rate"]["defaultValue"] = 2
    ir = written(tmp_path / "ir.yaml", document)
    assert repr(sorted(pipeline_parameters(ir).items())) == repr(sorted(values.items()))
    (step,) = read_ir(ir, {"COUNT": 5, "text": "true"})
    assert repr(sorted(step.parameters.items())) == repr(
        sorted({**values, "count": 5, "text": "true"}.items())
    )
    with pytest.raises(ParameterInvalid, match="'cuont'"):
        read_ir(ir, {"cuont": 1})
    with pytest.raises(ParameterInvalid, match="'count'"):
        read_ir(ir, {"count": 1.5})


def changed(change: str) -> dict[str, Any]:
    document = copy.deepcopy(spec(*TWO, parameters={"rate": 1.5}))
    task = document["root"]["dag"]["tasks"]["evaluate-step"]
    component = document["components"]["comp-evaluate-step"]
    executor = document["deploymentSpec"]["executors"]["exec-evaluate-step"]
    definitions = document["root"]["inputDefinitions"]["parameters"]
    match change:
        case "triggerPolicy" | "parameterIterator" | "artifactIterator" | "retryPolicy":
            task[change] = {"condition": "x == 1"}
        case "a nested pipeline":
            del component["executorLabel"]
            component["dag"] = {"tasks": {}}
        case "an importer":
            executor["importer"] = executor.pop("container")
        case "no Python function":
            executor["container"] = {"image": "busybox", "command": ["echo"], "args": ["hello"]}
        case "a parameter from taskOutputParameter":
            task["inputs"]["parameters"]["rate"] = {"taskOutputParameter": {"producerTask": "train-step"}}
        case "an artifact from componentInputArtifact":
            task["inputs"]["artifacts"]["model_input_artifact"] = {"componentInputArtifact": "model"}
        case "the output parameter size":
            component["outputDefinitions"]["parameters"] = {"size": {"parameterType": "NUMBER_INTEGER"}}
        case "the name '../out'":
            component["outputDefinitions"]["artifacts"]["../out"] = {"artifactType": {"schemaTitle": "x"}}
        case "no default of its type LIST":
            definitions["rate"] = {"parameterType": "LIST", "defaultValue": [1]}
        case "no default of its type NUMBER_DOUBLE":
            del definitions["rate"]["defaultValue"]
        case _:
            raise AssertionError(change)
    return document


@pytest.mark.parametrize(
    "what",
    [
        "triggerPolicy",
        "parameterIterator",
        "artifactIterator",
        "retryPolicy",
        "a nested pipeline",
        "an importer",
        "no Python function",
        "a parameter from taskOutputParameter",
        "an artifact from componentInputArtifact",
        "the output parameter size",
        "the name '../out'",
        "no default of its type LIST",
        "no default of its type NUMBER_DOUBLE",
    ],
)
def test_what_cannot_run_here_is_refused_by_name(what, tmp_path):
    with pytest.raises(NotSupported) as caught:
        read_ir(written(tmp_path / "ir.yaml", changed(what)))
    assert what in caught.value.why
    assert caught.value.where in ("step evaluate-step", "parameter rate")
    assert caught.value.next_step


def test_steps_in_a_circle_are_no_pipeline(tmp_path):
    document = spec(a("one", "1", after=("two",)), a("two", "1", after=("one",)))
    with pytest.raises(InvalidInput, match=r"in a circle: .*one-step"):
        read_ir(written(tmp_path / "ir.yaml", document))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x7fELF\xff",
        b"--- \n--- \n",
        b"just text",
        b"[1, 2",
        b"a: &a [*a, *a]",
        b"!!python/object/apply:os.system ['true']",
        b"date: 2026-99-99",
        b"number: !!int ''",
        b"truth: !!bool maybe",
        b"when: !!timestamp soon",
        b"? [1]\n: 2",
        b"[" * 200_000,
        b"{a: " * 200_000,
        b"- " * 200_000,
    ],
)
def test_a_file_that_is_no_pipeline_is_said_to_be_none(content, tmp_path):
    path = tmp_path / "ir.yaml"
    path.write_bytes(content)
    for read in (read_ir, pipeline_parameters):
        with pytest.raises(InvalidInput, match="no compiled pipeline") as caught:
            read(path)
        assert caught.value.where == str(path)
        assert caught.value.why
        assert caught.value.next_step


def test_a_missing_file_or_a_folder_is_no_pipeline(tmp_path):
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(InvalidInput, match="no compiled pipeline"):
            read_ir(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to every value below `value`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


PLACES = places(spec(*TWO, parameters={"rate": 1.5}))[1:]


@given(place=st.sampled_from(PLACES), value=json_values, remove=st.booleans())
def test_a_pipeline_with_any_one_part_replaced_is_read_or_refused(place, value, remove, tmp_path_factory):
    document = spec(*TWO, parameters={"rate": 1.5})
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    if remove:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    path = written(tmp_path_factory.getbasetemp() / "replaced.yaml", document)
    for read in (read_ir, pipeline_parameters):
        with contextlib.suppress(InvalidInput):
            read(path)

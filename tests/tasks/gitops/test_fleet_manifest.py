import pytest

from tasks.errors import FleetTargetInvalid
from tasks.gitops.manifest import Place, find, images

IMAGE = "registry.example.com:5000/models/wine"
DIGEST = f"sha256:{'a' * 64}"


def only(text: str) -> Place:
    places = find("app.yaml", text.encode(), IMAGE)
    assert len(places) == 1
    return places[0]


@pytest.mark.parametrize("rest", ["", ":1.2_3-x", f"@{DIGEST}", f":1@{DIGEST}"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize(
    "before",
    [
        "spec:\n  containers:\n  - name: a\n    image: ",
        "initContainers: [{name: a}, {image: ",
        "volumes:\n- image:\n    pullPolicy: Always\n    reference: ",
        "kind: Other\n---\n# second document\nimage: ",
    ],
)
def test_finds_the_image_with_any_tag_and_digest(before: str, quote: str, rest: str) -> None:
    after = "}]\n" if "[" in before else " # a comment\n"
    text = f"{before}{quote}{IMAGE}{rest}{quote}{after}"
    scalar = only(text).image
    assert scalar.value == IMAGE + rest
    assert text[scalar.start : scalar.end] == f"{quote}{IMAGE}{rest}{quote}"
    assert scalar.line == before.count("\n") + 1
    assert scalar.fault == ""


@pytest.mark.parametrize(
    "text",
    [
        f"image: {IMAGE}-red:1",
        f"image: {IMAGE}/large:1",
        f"image: other/{IMAGE}",
        f"name: {IMAGE}:1",
        f"images: [{IMAGE}]",
        f"# image: {IMAGE}\nimage: other",
        f"args: ['--image={IMAGE}']",
        f"image: {{repository: {IMAGE}}}",
        f"{IMAGE}",
        "",
    ],
)
def test_other_images_other_keys_and_comments_do_not_count(text: str) -> None:
    assert find("app.yaml", text.encode(), IMAGE) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"image: &wine {IMAGE}:1", "anchor"),
        (f"image: !!str {IMAGE}:1", "tag"),
        (f"image: &wine {IMAGE}:1\nx: {{image: *wine}}", "alias"),
        (f"one: &pod\n  image: {IMAGE}:1\ntwo: *pod", "alias"),
        (f"one: &pod\n  image: {IMAGE}:1\ntwo:\n  <<: *pod", "alias"),
        (f"image: >-\n  {IMAGE}:1\n", "block scalar"),
        (f"image: |\n  {IMAGE}:1\n", "block scalar"),
        (f'image: "{IMAGE}\\x3a1"', "escapes"),
        (f'image: "{IMAGE}\\\n  :1"', "escapes"),
        (f"image: {IMAGE}:{{{{tag}}}}", "template"),
        (f"image: {IMAGE}:${{TAG}}", "template"),
        (f"image: '{IMAGE}:{{{{ .Values.tag }}}}'", "template"),
    ],
)
def test_says_why_a_place_cannot_be_changed(text: str, fault: str) -> None:
    assert fault in only(text).image.fault


def test_an_alias_cycle_ends() -> None:
    assert "alias" in only(f"&top\nself: *top\nimage: {IMAGE}").image.fault


def test_anchors_elsewhere_do_not_matter() -> None:
    text = f"labels: &labels {{app: wine}}\nselector: *labels\npod: &pod\n  image: {IMAGE}:1\n"
    assert only(text).image.fault == ""


def deployment(image: str, note: str) -> str:
    return (
        f"spec:\n  template:\n    metadata:\n      annotations:\n        modelflight.dev/rollout-id: {note}\n"
        f"    spec:\n      containers:\n      - image: {image}\n"
    )


def test_takes_the_rollout_id_of_the_same_document() -> None:
    place = only(f"{deployment('other', 'not-mine')}---\n{deployment(IMAGE, 'mine')}")
    assert [note.value for note in place.rollout_ids] == ["mine"]


def test_takes_the_rollout_id_of_the_same_item_of_a_list() -> None:
    items = [
        "- " + deployment(*both).replace("\n", "\n  ").rstrip()
        for both in (("other", "not"), (IMAGE, "mine"))
    ]
    place = only("kind: List\nitems:\n" + "\n".join(items) + "\n")
    assert [note.value for note in place.rollout_ids] == ["mine"]


def test_annotations_outside_the_pod_template_are_not_the_rollout_id() -> None:
    assert (
        only(f"metadata: {{annotations: {{modelflight.dev/rollout-id: x}}}}\nimage: {IMAGE}").rollout_ids
        == ()
    )


def test_an_empty_rollout_id_is_a_fault() -> None:
    assert "empty" in only(deployment(IMAGE, "")).rollout_ids[0].fault
    assert only(deployment(IMAGE, "''")).rollout_ids[0].fault == ""


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"a: 1\n{{- if .Values.x }}\nimage: %s", "app.yaml:3"),
        (b"a: 1\nb: 'x\nimage: %s", "app.yaml:4"),
        (b"a: 1\nb: \xff\nimage: %s", "app.yaml:2"),
        (b"a: \x00\nimage: %s", "app.yaml:1"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(content: bytes, where: str) -> None:
    with pytest.raises(FleetTargetInvalid) as caught:
        find("app.yaml", content.replace(b"%s", IMAGE.encode() + b"\n"), IMAGE)
    assert caught.value.where == where


def test_lists_all_images_for_people() -> None:
    text = b"image: a:1\n---\nvolumes:\n- image: {reference: b}\n- image: {pullPolicy: Always}\n"
    assert [(scalar.line, scalar.value) for scalar in images("app.yaml", text)] == [(1, "a:1"), (4, "b")]

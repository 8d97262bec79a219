import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import FleetTargetInvalid
from tasks.gitops.manifest import find
from tasks.gitops.splice import check, splice

IMAGE = "registry.example.com/models/wine"
NEW = f"{IMAGE}:v2@sha256:{'b' * 64}"
ROLLOUT = "wine-0123456789ab-1"


def spliced(content: bytes) -> bytes:
    (place,) = find("app.yaml", content, IMAGE)
    return splice(place, content, NEW, ROLLOUT)


MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "content",
    [
        b"image: @IMAGE@\n",
        b"image: @IMAGE@",
        b"image:    '@IMAGE@'   # why \xc3\xa9 \xf0\x9f\x8d\xb7\n\n\n",
        b'a: 1\r\nimage: "@IMAGE@"\r\nb: 2\r\n',
        MARK + b"# comment\nimage: @IMAGE@\n",
        MARK + b"image: @IMAGE@",
        b"\xf0\x9f\x8d\xb7: \xe2\x80\xa8\nimage: @IMAGE@ \t\nlast: >\n  folded\n  text\n\n",
        b"---\nother: {x: [1, 'two']}\n...\n---\n- {image: @IMAGE@, x: y}\n--- # end\n",
        b"%YAML 1.1\n---\nimage:\n  @IMAGE@\n",
        b"!custom\nsecret: !vault |\n  abc\nimage: @IMAGE@\nimage2: *unused\n".replace(b"*unused", b"x"),
    ],
)
def test_every_other_byte_stays(content: bytes) -> None:
    before = content.replace(b"@IMAGE@", f"{IMAGE}:old".encode())
    assert spliced(before) == content.replace(b"@IMAGE@", NEW.encode())


def test_sets_the_rollout_id_together_with_the_image() -> None:
    content = (
        "spec: {template: {metadata: {annotations: {modelflight.dev/rollout-id: '%s'}}, "
        "spec: {containers: [{image: %s}]}}}"
    )
    assert spliced((content % ("none", IMAGE)).encode()) == (content % (ROLLOUT, NEW)).encode()


def test_what_cannot_be_replaced_is_refused_with_file_and_line() -> None:
    content = f"a: 1\nimage: &x {IMAGE}\n".encode()
    (place,) = find("app.yaml", content, IMAGE)
    with pytest.raises(FleetTargetInvalid, match="anchor") as caught:
        check(place)
    assert caught.value.where == "app.yaml:2"


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_splice_in_the_wrong_place_is_noticed(shift: int) -> None:
    content = f"a: 1\nimage: {IMAGE}\nb: 2\n".encode()
    (place,) = find("app.yaml", content, IMAGE)
    wrong = replace(place, image=replace(place.image, end=place.image.end + shift))
    with pytest.raises(FleetTargetInvalid, match="mean something else"):
        splice(wrong, content, NEW, ROLLOUT)


def test_a_value_that_would_change_its_surroundings_is_noticed() -> None:
    content = f"{{image: {IMAGE}, x: y}}".encode()
    (place,) = find("app.yaml", content, IMAGE)
    with pytest.raises(FleetTargetInvalid, match="mean something else"):
        splice(place, content, "a, b: c", ROLLOUT)


words = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp"), exclude_characters="\ufeff")
)
neighbours = st.lists(words.map(lambda text: f"key: {json.dumps(text, ensure_ascii=False)}"), max_size=3)
tags = st.sampled_from(["", ":1", ":v1.2", f"@sha256:{'a' * 64}", f":x@sha256:{'a' * 64}"])


@given(
    above=neighbours,
    below=neighbours,
    comment=words,
    tag=tags,
    key=st.sampled_from(["image: ", "image:\t ", "pod:\n  - x: y\n    image:   ", "image: {reference: "]),
    quote=st.sampled_from(["", "'", '"']),
    ending=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
    last=st.sampled_from(["", "\n", "\n\n  "]),
)
def test_splicing_changes_the_scalar_alone(
    above: list[str],
    below: list[str],
    comment: str,
    tag: str,
    key: str,
    quote: str,
    ending: str,
    mark: str,
    last: str,
) -> None:
    close = "}" if "{" in key else ""
    head = mark + "".join(line + "\n" for line in above) + key + quote
    tail = quote + close + f"  # {comment}\n" + "\n".join(below) + last
    whole = [(head + value + tail).replace("\n", ending).encode() for value in (IMAGE + tag, NEW)]
    assert spliced(whole[0]) == whole[1]

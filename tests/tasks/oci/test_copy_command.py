"""The copy command's programs and list, as the model image gets them; tests/infra runs them."""

import hashlib
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import PackFailed
from tasks.oci.copy_command import binary, listing

HASH = hashlib.sha256(b"").hexdigest()
NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), unique=True)


def test_a_program_that_was_not_built_is_named_with_the_way_to_get_it():
    with pytest.raises(PackFailed) as raised:
        binary("riscv64")
    assert raised.value.where == "infra/copy/bin/modelflight-copy-riscv64"
    assert "uv sync --reinstall-package modelflight" in raised.value.next_step


def test_an_installation_without_its_data_is_told_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    with pytest.raises(PackFailed):
        binary("amd64")


def test_the_list_is_what_sha256sum_writes(tmp_path: Path):
    names = ["a", "new\nline", "back\\slash", "\\", " space ", "größe", "模型", "*"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    written = subprocess.run(
        ["sha256sum", "--binary", *sorted(names)], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert listing((name, HASH) for name in names) == written


@given(NAMES)
def test_the_list_has_one_line_for_each_name_sorted_by_bytes_whatever_the_order(names: list[str]):
    content = listing((name, HASH) for name in names)
    assert content == listing((name, HASH) for name in reversed(names))
    lines = content.split(b"\n")
    assert lines.pop() == b""
    found = []
    for line in lines:
        if line.startswith(b"\\"):
            escaped = line[1:].removeprefix(f"{HASH} *".encode())
            name = escaped.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\\r", b"\r")
            found.append(name.replace(b"\0", b"\\"))
        else:
            found.append(line.removeprefix(f"{HASH} *".encode()))
    assert found == sorted(name.encode() for name in names)


@pytest.mark.parametrize("folder", ["", "sub/", "new\nline/"])
def test_a_temporary_file_of_a_copy_is_no_part_of_a_model(folder: str):
    name = f"{folder}.modelflight-copy.0123456789abcdef"
    with pytest.raises(PackFailed) as raised:
        listing([("a", HASH), (name, HASH)])
    assert raised.value.where == name


@pytest.mark.parametrize(
    "name",
    [".modelflight-copy.0123456789abcde", ".modelflight-copy.sha256", "x.modelflight-copy.0123456789abcdef"],
)
def test_a_name_that_only_looks_alike_is_listed(name: str):
    assert listing([(name, HASH)]) == f"{HASH} *{name}\n".encode()

"""What the copy command refuses, with which exit code, and what it leaves then (infra/copy/README.md)."""

import os
from pathlib import Path

import pytest

from tests.infra.copying import Copying, sha256

WRONG_USE, NOT_AS_LISTED, UNSAFE = 2, 3, 4

LINE = f"{sha256(b'')} *empty\n"
TEMPORARY = ".modelflight-copy.0123456789abcdef"


def test_a_file_that_is_not_as_listed_is_not_delivered(copying: Copying):
    copying.carry({"a": b"1", "b": b"22", "c": b"3"})
    (copying.models / "b").write_bytes(b"2?")
    (copying.destination / "b").write_bytes(b"of yesterday")
    copying.fails(NOT_AS_LISTED, f"{copying.models}/b has the sha256 {sha256(b'2?')}", str(copying.list))
    assert copying.copied() == {"a": b"1", "b": b"of yesterday"}


def test_a_listed_file_that_the_image_lacks_is_named(copying: Copying):
    copying.carry({"sub/a": b"1"})
    (copying.models / "sub" / "a").unlink()
    copying.fails(NOT_AS_LISTED, f"cannot read {copying.models}/sub/a: No such file")
    (copying.models / "sub").rmdir()
    copying.fails(NOT_AS_LISTED, f"cannot read {copying.models}/sub/a: No such file")
    (copying.models / "sub").write_bytes(b"")
    copying.fails(NOT_AS_LISTED, f"cannot read {copying.models}/sub/a: Not a directory")


def test_a_listed_file_that_is_a_folder_in_the_image_is_named(copying: Copying):
    copying.carry({"a": b"1"})
    (copying.models / "a").unlink()
    (copying.models / "a").mkdir()
    copying.fails(NOT_AS_LISTED, f"cannot read {copying.models}/a: Is a directory")
    assert copying.copied() == {}


def test_control_characters_of_a_name_do_not_reach_the_terminal(copying: Copying):
    copying.carry({"a\n\x1b[31m\x7fb": b"1"})
    next(copying.models.iterdir()).unlink()
    copying.fails(NOT_AS_LISTED, "/a??[31m?b: No such file")


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "/", "/etc/passwd", "../a", "./a", "a/..", "a/../../b", "a/.", "a/./b", "a/", "a//b",
        "//a", TEMPORARY, f"sub/{TEMPORARY}",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_or_is_temporary_is_refused_before_anything_is_written(
    copying: Copying, name: str
):
    copying.carry({"empty": b""})
    copying.list.write_text(f"{LINE}{sha256(b'')} *{name}\n")
    copying.fails(UNSAFE, f"'{name}'", str(copying.list))
    assert copying.copied() == {}


@pytest.mark.parametrize("name", ["../a", "a/../../b"])
def test_an_unsafe_name_is_refused_however_it_is_escaped(copying: Copying, name: str):
    copying.list.write_text(f"\\{sha256(b'')} *\\\\/{name}\n")
    copying.fails(UNSAFE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        LINE + "\n",
        LINE[:-1],
        LINE[:64],
        LINE[:30] + "\n",
        LINE[:66] + "\0" + LINE[66:],
        LINE.upper(),
        LINE.replace(" *", "  "),
        LINE.replace(" *", "*"),
        " " + LINE,
        "0" + LINE,
        LINE[1:],
        LINE.replace("\n", "/" + "n" * 10000 + "\n"),
        f"\\{LINE[:66]}\\q\n",
        f"\\{LINE[:66]}a\\\n",
        f"\\\\{LINE}",
    ],
)
def test_a_damaged_list_is_refused_before_anything_is_written(copying: Copying, text: str):
    copying.carry({"empty": b""})
    copying.list.write_text(text and LINE + text)
    copying.fails(NOT_AS_LISTED, f"{copying.list} is damaged")
    assert copying.copied() == {}


@pytest.mark.parametrize("kind", ["file", "link to a folder", "dangling link", "link in a folder"])
def test_what_is_no_folder_in_a_folder_s_place_ends_the_copy(copying: Copying, kind: str):
    copying.carry({"sub/deeper/a": b"new"})
    outside = copying.folder / "outside"
    outside.mkdir()
    sub = copying.destination / "sub"
    match kind:
        case "file":
            sub.write_bytes(b"")
        case "link to a folder":
            sub.symlink_to(outside)
        case "dangling link":
            sub.symlink_to(outside / "deeper")
        case "link in a folder":
            sub.mkdir()
            (sub / "deeper").symlink_to(outside)
    copying.fails(UNSAFE, f"{sub}", "is no folder; links are not followed")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("content", [b"right", b"wrong"])
def test_a_link_in_a_file_s_place_is_replaced_and_its_target_left_alone(copying: Copying, content: bytes):
    copying.carry({"a": b"right"})
    outside = copying.folder / "outside"
    outside.write_bytes(content)
    (copying.destination / "a").symlink_to(outside)
    assert copying.run()[0] == 0
    assert not (copying.destination / "a").is_symlink()
    assert copying.copied() == {"a": b"right"}
    assert outside.read_bytes() == content


def test_a_hard_link_in_a_file_s_place_is_replaced_and_its_other_name_left_alone(copying: Copying):
    copying.carry({"a": b"right"})
    outside = copying.folder / "outside"
    outside.write_bytes(b"wrong")
    (copying.destination / "a").hardlink_to(outside)
    assert copying.run()[0] == 0
    assert outside.read_bytes() == b"wrong"


def test_a_pipe_in_a_file_s_place_is_replaced_without_waiting_for_a_writer(copying: Copying):
    copying.carry({"a": b"right"})
    os.mkfifo(copying.destination / "a")
    assert copying.run()[0] == 0
    assert copying.copied() == {"a": b"right"}


def test_a_folder_in_a_file_s_place_ends_the_copy(copying: Copying):
    copying.carry({"sub/a": b"1"})
    (copying.destination / "sub" / "a").mkdir(parents=True)
    copying.fails(UNSAFE, f"{copying.destination}/sub/a is a folder")


def test_the_destination_itself_may_be_a_link(copying: Copying):
    copying.carry({"a": b"1"})
    real = copying.destination.rename(copying.folder / "real")
    copying.destination.symlink_to(real)
    assert copying.run()[0] == 0
    assert (real / "a").read_bytes() == b"1"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-x", "a"], ["a", "b", "c", "d"], ["sh", "-c", "true"]],
)
def test_wrong_arguments_show_the_right_ones(copying: Copying, arguments: list[str]):
    copying.command[-3:] = arguments
    copying.fails(WRONG_USE, "usage: modelflight-copy [DESTINATION [SOURCE [LIST]]]")


@pytest.mark.parametrize("missing", ["destination", "models", "list"])
def test_what_the_arguments_name_must_be_there(copying: Copying, missing: str):
    copying.carry({"a": b"1"})
    path: Path = getattr(copying, missing)
    path.rename(path.with_name("elsewhere"))
    copying.fails(WRONG_USE, f" {path}: No such file or directory")


def test_the_destination_must_be_a_folder(copying: Copying):
    copying.carry({"a": b"1"})
    copying.destination.rmdir()
    copying.destination.write_bytes(b"")
    copying.fails(WRONG_USE, f"cannot open the folder {copying.destination}: Not a directory")

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.address import check_address, redact, resolve_address
from tasks.errors import AddressInvalid

# Begins with what no message of ours has in it.
SECRET = st.text(string.ascii_letters + string.digits + "@:!$*-_.", min_size=5, max_size=20).map(
    "Zq9".__add__
)


@pytest.mark.parametrize(
    "address",
    [
        "https://git.example.com/fleet.git",
        "https://host:8443/x",
        "ssh://git@host:22/x",
        "git@host:group/x.git",
        "file:///srv/fleet.git",
        "/srv/fleet.git",
        "../fleet.git",
        "./with space",
        "git://host/x",
        "file:///srv/c#/what?.git",
        "C:\\fleet",
    ],
)
def test_an_address_without_a_credential_is_kept(address: str) -> None:
    assert check_address(address, "here") == address


@pytest.mark.parametrize(
    "address",
    ["", " ", " /x", "-oProxyCommand=x", "/x\n", "a\nb", "ext::sh -c x", "ftp://host/x", "https://h:x/y"],
)
def test_what_is_no_usable_address_is_refused(address: str) -> None:
    with pytest.raises(AddressInvalid, match=r"cannot be used.*\nwhere: here"):
        check_address(address, "here")


@given(
    SECRET,
    st.sampled_from(
        [
            "https://user:{}@host/x",
            "https://{}@host/x",
            "ssh://git:{}@host/x",
            "user:{}@host/x",
            "https://u:p/{}@h/x",
            "https://host/x?private_token={}",
            "https://host/x?a=b&password={}",
            "https://u{}\u2100@host/x",
            "https://user:12#{}@host/x",
            "https://host/x?{}",
            "https://host/x#{}",
            "host:x.git?token={}",
        ]
    ),
)
def test_an_address_with_a_credential_is_refused_and_never_repeated(secret: str, form: str) -> None:
    with pytest.raises(AddressInvalid) as caught:
        check_address(form.format(secret), "here")
    assert secret not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text(), SECRET)
def test_redacting_twice_changes_nothing_more(text: str, secret: str) -> None:
    once = redact(f"{text} https://user:{secret}@host/x")
    assert secret not in once.removeprefix(text)
    assert redact(once) == once


def test_text_without_credentials_is_left_alone() -> None:
    text = "cannot reach https://host:8443/x@v1 for git@host:x, python:3.12@sha256:00"
    assert redact(text) == text


@pytest.mark.parametrize(
    ("address", "base", "resolved"),
    [
        ("../fleet.git", "https://host/group/notebooks.git", "https://host/group/fleet.git"),
        ("../../other/fleet", "ssh://git@host:22/group/notebooks", "ssh://git@host:22/other/fleet"),
        ("./sub", "/srv/notebooks", "/srv/notebooks/sub"),
        ("../fleet", "/srv/notebooks", "/srv/fleet"),
        ("https://host/x", "/srv/notebooks", "https://host/x"),
        ("/srv/fleet", "https://host/x", "/srv/fleet"),
    ],
)
def test_a_relative_address_starts_at_the_notebook_repository(address: str, base: str, resolved: str) -> None:
    assert resolve_address(address, base) == resolved


@pytest.mark.parametrize(
    ("address", "base", "absolute"),
    [
        ("../fleet.git", "git@host:team/notebooks.git", "git@host:team/fleet.git"),
        ("../../other/fleet.git", "git@host:team/notebooks.git", "git@host:other/fleet.git"),
        ("../fleet.git", "host:notebooks.git", "host:fleet.git"),
        ("../fleet.git", "host:/srv/notebooks.git", "host:/srv/fleet.git"),
        ("../fleet.git", "[host:22]:notebooks.git", "[host:22]:fleet.git"),
        ("./sub", "git@host:team/notebooks.git", "git@host:team/notebooks.git/sub"),
    ],
)
def test_ssh_in_its_short_form_is_a_base_too(address: str, base: str, absolute: str) -> None:
    assert resolve_address(address, base) == absolute


@pytest.mark.parametrize(
    "address",
    ["https://h/x?X-Amz-Signature=abc", "https://h/x.git#token", "ssh://git@h/x?a=b", "git://h/x?"],
)
def test_queries_and_fragments_are_refused_and_not_shown(address: str) -> None:
    with pytest.raises(AddressInvalid) as caught:
        check_address(address, "here")
    for secret in ("abc", "token", "a=b"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2",
        "{'authorization': 'Bearer hunter2'}",
        'Proxy-Authorization: Digest username="a", realm="b", response="hunter2"',
        "http.extraHeader=AUTHORIZATION:basic hunter2",
        "https://h/x?sig=hunter2",
        "https://h/x?X-Amz-Signature=hunter2&a=1",
        "https://h/x?key=a'hunter2",
        "https://h/x?hunter2",
        "GET /x?X-Goog-Signature=hunter2",
        "x-amz-security-token=hunter2",
    ],
)
def test_headers_and_signatures_are_redacted(text: str) -> None:
    assert "hunter2" not in redact(text)


def test_a_query_is_redacted_and_the_sentence_around_it_kept() -> None:
    text = "cannot reach 'https://h/x?a=b&c=d': 403. Did you mean https://h/y?"
    assert redact(text) == "cannot reach 'https://h/x?***': 403. Did you mean https://h/y?"


def test_a_relative_address_does_not_lead_above_the_folder_of_ssh() -> None:
    with pytest.raises(AddressInvalid, match="above"):
        resolve_address("../../fleet.git", "git@host:notebooks.git")

"""Which login the Docker configuration file has for a registry, and which it has elsewhere."""

import base64
import json
from pathlib import Path

import pytest

from tasks.errors import NotSupported, RegistryRefused
from tasks.keyring import Keyring, Login, holding
from tasks.oci.credentials import find_login

HOST = "registry.example.com:5000"
ADA = Login("ada", "pass:wörd")
ENCODED = base64.b64encode("ada:pass:wörd".encode()).decode()


def test_without_a_file_everybody_is_anonymous(docker_config: Path) -> None:
    assert find_login(HOST) is None


def test_the_file_is_in_the_home_folder_unless_told_otherwise(
    docker_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {HOST: {"auth": ENCODED}}}))
    assert find_login(HOST) == ADA


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v2/", f"{HOST}/v1/"])
@pytest.mark.parametrize("entry", [{"auth": ENCODED}, {"username": "ada", "password": "pass:wörd"}])
def test_a_login_is_found_under_each_spelling_of_its_host(
    docker_config: Path, key: str, entry: dict[str, str]
) -> None:
    docker_config.write_text(json.dumps({"auths": {"another.example.com": {"auth": "eDp5"}, key: entry}}))
    assert find_login(HOST) == ADA
    assert find_login("registry.example.com") is None


def test_a_login_in_the_file_itself_goes_before_a_store(docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {HOST: {"auth": ENCODED}}, "credsStore": "desktop"}))
    assert find_login(HOST) == ADA


def test_a_store_that_was_not_used_for_the_host_does_not_matter(docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"auths": {"other.example.com": {}}, "credsStore": "desktop"}))
    assert find_login(HOST) is None


@pytest.mark.parametrize(
    ("config", "where", "why"),
    [
        ({"credHelpers": {HOST: "ecr-login"}}, "credHelpers", "'ecr-login'"),
        ({"auths": {HOST: {}}, "credsStore": "desktop"}, "credsStore", "'desktop'"),
        ({"auths": {HOST: {"auth": "MDAwMDo=", "identitytoken": "a-token"}}}, "auths", "identity token"),
    ],
)
def test_credentials_that_lie_elsewhere_are_told_and_not_passed_over(
    docker_config: Path, config: dict[str, object], where: str, why: str
) -> None:
    docker_config.write_text(json.dumps(config))
    with pytest.raises(NotSupported) as told:
        find_login(HOST)
    assert told.value.where == f"{docker_config}: {where}"
    assert why in told.value.why
    assert HOST in told.value.what
    assert "DOCKER_CONFIG" in told.value.next_step
    assert "a-token" not in str(told.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_damaged_file_is_told(docker_config: Path, content: str) -> None:
    docker_config.write_text(content)
    with pytest.raises(RegistryRefused) as told:
        find_login(HOST)
    assert told.value.where == str(docker_config)


@pytest.mark.parametrize("auth", ["not base64!", base64.b64encode(b"no colon").decode(), "////"])
def test_an_entry_that_is_no_login_is_told_and_not_shown(docker_config: Path, auth: str) -> None:
    docker_config.write_text(json.dumps({"auths": {HOST: {"auth": auth}}}))
    with pytest.raises(RegistryRefused) as told:
        find_login(HOST)
    assert auth not in str(told.value)
    assert f"docker login {HOST}" in told.value.next_step


def test_the_password_is_not_shown() -> None:
    assert "pass:wörd" not in repr(ADA)


def test_the_keyring_goes_before_the_file(docker_config: Path) -> None:
    login = base64.b64encode(b"eve:other").decode()
    docker_config.write_text(json.dumps({"auths": {HOST: {"auth": login}}}))
    with holding(Keyring(registries={HOST: ADA})):
        assert find_login(HOST) == ADA
    assert find_login(HOST) == Login("eve", "other")

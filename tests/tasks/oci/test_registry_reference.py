import pytest

from tasks.oci.images import split_tag
from tasks.oci.reference import Repository, is_loopback, parse_repository


@pytest.mark.parametrize(
    ("address", "host", "name"),
    [
        ("registry.example.com/wine", "registry.example.com", "wine"),
        ("registry.example.com:5000/models/red/wine", "registry.example.com:5000", "models/red/wine"),
        ("localhost/models/wine", "localhost", "models/wine"),
        ("[::1]:5000/models/wine", "[::1]:5000", "models/wine"),
        ("ghcr.io/a-b/c_d.e__f--g", "ghcr.io", "a-b/c_d.e__f--g"),
    ],
)
def test_a_repository_has_a_host_and_a_name(address: str, host: str, name: str) -> None:
    assert parse_repository(address) == Repository(host, name)
    assert str(parse_repository(address)) == address


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1", "[::1]"])
def test_this_machine_is_known_by_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "128.0.0.1", "127.0.0.1.nip.io", "::2", "10.0.0.1", ""]
)
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("target", "address", "tag"),
    [
        ("oci:folder", "oci:folder", None),
        ("oci:folder:v1", "oci:folder", "v1"),
        ("oci:/a:b/folder", "oci:/a:b/folder", None),
        ("oci:/a:b/folder:v1", "oci:/a:b/folder", "v1"),
        ("localhost:5000/wine", "localhost:5000/wine", None),
        ("localhost:5000/wine:v1", "localhost:5000/wine", "v1"),
    ],
)
def test_a_target_has_a_tag_behind_its_last_colon(target: str, address: str, tag: str | None) -> None:
    assert split_tag(target) == (address, tag)

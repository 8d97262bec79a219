import pytest

from deployments.receiver.settings import Settings
from tasks.errors import InvalidInput


def test_a_login_in_prefects_address_is_not_in_what_people_see(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_API_URL", "https://ada:pa55@prefect.example.com:8443/flight/api/")
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    settings = Settings.from_environment()
    assert settings.api == "https://ada:pa55@prefect.example.com:8443/flight/api"
    assert settings.pages == "https://prefect.example.com:8443/flight/v2"
    assert "pa55" not in repr(settings)


def test_a_key_with_the_line_end_of_its_file_is_the_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_KEY", "pa55\n")
    assert Settings.from_environment().authorization == "Bearer pa55"


def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_KEY", "pa55\nX: y")
    with pytest.raises(InvalidInput) as refused:
        Settings.from_environment()
    assert refused.value.where == "PREFECT_API_KEY"
    assert "pa55" not in str(refused.value)


def test_credentials_are_not_in_what_is_printed_of_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv("PREFECT_API_KEY", "pa55")
    settings = Settings.from_environment()
    assert settings.authorization == "Bearer pa55"
    assert "pa55" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PREFECT_API_URL", ""),
        ("PREFECT_API_URL", "prefect.example.com"),
        ("MODELFLIGHT_RECEIVER_PORT", "http"),
        ("MODELFLIGHT_RECEIVER_PORT", "65536"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInput) as refused:
        Settings.from_environment()
    assert variable in refused.value.where

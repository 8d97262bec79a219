"""How requests to a registry are authorized: not at all, by password, or by a token that a password is for.

https://distribution.github.io/distribution/spec/auth/token/, RFC 7617 and RFC 9110, section 11.6.1.
"""

import re
from base64 import b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass

import httpx

from tasks.errors import RegistryRefused
from tasks.keyring import Login
from tasks.oci.registry_fault import refusal

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
# One header may hold several (RFC 9110, 11.6.1): a scheme, then its parameters up to the next scheme.
_CHALLENGE = re.compile(r'(?:^|,)\s*(\w+)\s+((?:\w+="[^"]*"(?:\s*,\s*(?=\w+=))?)+)')
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class _Challenge:
    scheme: str
    parameters: Mapping[str, str]


class Authorization(httpx.Auth):
    """Answers the challenges of the registry at `base`, and of nobody else.

    Credentials go to that scheme, host and port alone, wherever redirects or upload addresses lead; the one
    exception is the token service that the registry names.
    """

    def __init__(self, base: httpx.URL, login: Login | None) -> None:
        self._base = _origin(base)
        self._login = login
        self._header: str | None = None

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sends the request; after a 401 once more, with what the challenge asks for."""
        if _origin(request.url) != self._base:
            yield request
            return
        if self._header:
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != 401 or _origin(response.request.url) != self._base:
            return
        header = yield from self._answer(response, request)
        if header and header != self._header:
            self._header = request.headers["Authorization"] = header
            yield request

    def _answer(
        self, response: httpx.Response, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, str | None]:
        """The header that the challenge asks for; None where there is nothing to answer with."""
        challenges = {found.scheme: found for found in _challenges(response)}
        if bearer := challenges.get("bearer"):
            return (yield from self._token(bearer.parameters, request))
        if "basic" in challenges and self._login:
            return _basic(self._login)
        return None

    def _token(
        self, challenge: Mapping[str, str], request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, str]:
        asked = {key: challenge[key] for key in ("service", "scope") if key in challenge}
        url = httpx.URL(challenge.get("realm", "")).copy_merge_params(asked)
        headers = {"Authorization": _basic(self._login)} if self._login else {}
        # Of the request's own extensions, because they hold the timeouts.
        answer = yield httpx.Request("GET", url, headers=headers, extensions=request.extensions)
        content = answer.read()
        what, where = "The registry's token service gave no token.", str(url.copy_with(query=None))
        if answer.status_code != 200:
            raise refusal(answer.status_code, content, what, where)
        try:
            document = answer.json()
            token = document.get("token") or document["access_token"]
            if not _TOKEN.fullmatch(token):
                raise ValueError("httpx would quote it in its own error")
            return f"Bearer {token}"
        except (ValueError, LookupError, TypeError, AttributeError):
            why = "its answer is not as the token specification has it"
            raise RegistryRefused(what, where, why, "Check the registry's authentication settings.") from None


def _basic(login: Login) -> str:
    return f"Basic {b64encode(f'{login.user}:{login.password}'.encode()).decode()}"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _challenges(response: httpx.Response) -> list[_Challenge]:
    return [
        _Challenge(scheme.lower(), dict(_PARAMETER.findall(parameters)))
        for header in response.headers.get_list("www-authenticate")
        for scheme, parameters in _CHALLENGE.findall(header)
    ]

"""What holds for whatever senders write: read deliveries, signatures, starts, limits and log lines."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from fastapi import Request
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.receiver import limits
from deployments.receiver.decide import Nothing, relevant
from deployments.receiver.forges.delivery import Delivery, Push
from deployments.receiver.forges.read import EVENTS, read_delivery
from deployments.receiver.limits import Rates, Recent
from deployments.receiver.log import JsonLines
from deployments.receiver.problem import Refusal
from deployments.receiver.registrations import Registration
from deployments.receiver.signature import has_signature, is_signed
from deployments.receiver.starts import Pushes, Waiting, Wanted, newest_of
from tasks.errors import InvalidInput
from tests.deployments.receiver.payloads import FORGES, LISTING, ZEROS, Pushed, signed

HEADERS = st.sampled_from([(header, event) for header, events in EVENTS.items() for event in events])
SHAS = st.from_regex(r"[0-9a-f]{40}|[0-9a-f]{64}", fullmatch=True).filter(lambda sha: set(sha) != {"0"})
FILES = st.lists(st.text(min_size=1), max_size=3, unique=True)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
REGISTERED = Registration("notebooks", "https://forge.example.com/ci/notebooks.git", "main", ("s3cr3t",))


ENDS = st.tuples(SHAS | st.just(ZEROS), SHAS | st.just(ZEROS)).filter(lambda ends: ends != (ZEROS, ZEROS))


@st.composite
def pushed(draw: st.DrawFn) -> Pushed:
    """Pushes of all kinds."""
    before, after = draw(ENDS)
    kind, name = draw(st.sampled_from(["heads", "tags"])), draw(st.just("main") | st.text(min_size=1))
    return Pushed(
        repository=draw(st.sampled_from(["ci/notebooks", "ci/others"])),
        ref=f"refs/{kind}/{name}",
        commits=draw(st.lists(FILES, min_size=1, max_size=7)),
        message=draw(st.text() | st.just("Typo [skip release]")),
        before=before,
        after=after,
        forced=draw(st.booleans()),
    )


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[dict[str, str], bytes]:
    """Deliveries with something else in one place."""
    headers, body = draw(pushed()).by(draw(st.sampled_from(FORGES)))
    at = document = json.loads(body)
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(at[key], dict | list) and at[key]) or draw(st.integers(0, 3)) == 0:
            break
        at = at[key]
    at[key] = draw(DOCUMENTS)
    return headers, json.dumps(document).encode()


def read(headers: dict[str, str], body: bytes) -> Delivery | InvalidInput:
    """What is read of a delivery; nothing else may be raised."""
    try:
        return read_delivery({name.lower(): value for name, value in headers.items()}, body)
    except InvalidInput as problem:
        return problem


@given(HEADERS, DOCUMENTS)
def test_any_json_is_a_delivery_or_invalid(header: tuple[str, str], document: Any):
    read(dict([header]), json.dumps(document).encode())


@given(HEADERS, st.binary() | st.sampled_from([b"[" * 100_000, b'{"ref":' * 100_000, b"1" * 5000]))
def test_any_bytes_are_a_delivery_or_invalid(header: tuple[str, str], body: bytes):
    read(dict([header]), body)


@settings(max_examples=300)
@given(spoiled())
def test_a_spoiled_push_is_refused_or_releases_no_other_branch(delivered: tuple[dict[str, str], bytes]):
    delivery = read(*delivered)
    if isinstance(delivery, Delivery):
        assert all(isinstance(push, Push) for push in delivery.pushes)
        try:
            push = relevant(delivery, REGISTERED)
        except InvalidInput:
            return
        assert isinstance(push, Nothing) or (
            push.branch == "main" and push.commit and set(push.commit) != {"0"}
        )


@given(pushed(), st.sampled_from(FORGES))
def test_a_push_is_read_as_it_was_made(made: Pushed, forge: str):
    delivery = read(*made.by(forge))
    assert isinstance(delivery, Delivery)
    assert delivery.repository.casefold() == made.repository
    [push] = delivery.pushes
    kind, name = made.ref.removeprefix("refs/").split("/", 1)
    assert push.branch == (name if kind == "heads" else None)
    assert push.before == (made.before if made.before != ZEROS else None)
    assert push.commit == (made.after if made.after != ZEROS else None)
    if push.commit:
        assert push.message == made.message
    # Only what is sure to be all files is told.
    if push.files is not None:
        assert forge in LISTING
        assert push.files == set().union(*made.commits)


@given(pushed().filter(lambda made: ZEROS not in (made.before, made.after)), st.sampled_from(LISTING))
def test_the_files_of_an_ordinary_push_are_told(made: Pushed, forge: str):
    made.forced = False
    delivery = read(*made.by(forge))
    assert isinstance(delivery, Delivery)
    told = forge != "gitea" or len(made.commits) <= 5
    assert (delivery.pushes[0].files is not None) == told


@given(st.binary(), st.binary(), st.text(min_size=1), st.text(min_size=1), st.sampled_from(FORGES))
def test_only_the_secret_and_the_body_make_a_signature(
    body: bytes, other_body: bytes, secret: str, other: str, forge: str
):
    event, _ = Pushed().by(forge)
    plain = {name: value for name, value in event.items() if "Signature" not in name and "Token" not in name}
    headers = {name.lower(): value for name, value in signed(plain, body, secret).items()}
    if forge == "gitlab":  # over the wire the token is bytes
        headers["x-gitlab-token"] = secret.encode().decode("latin-1")
    else:
        assert is_signed(headers, other_body, (secret,)) == (body == other_body)
    assert is_signed(headers, body, (secret,))
    assert is_signed(headers, body, (other, secret))
    assert has_signature(headers)
    assert is_signed(headers, body, (other,)) == (other == secret)
    assert not is_signed(headers, body, ())
    unsigned = {name.lower(): value for name, value in plain.items()}
    assert not is_signed(unsigned, body, (secret,))
    assert not has_signature(unsigned)


BLOCK = st.dictionaries(
    st.sampled_from(["address", "branch", "webhook_secret", "previous_webhook_secret"]), DOCUMENTS | st.text()
)


@given(BLOCK, st.none() | st.text())
def test_any_block_is_a_registration_or_none(data: dict[str, Any], name: str | None):
    registration = Registration.of_block({"name": name, "data": data})
    if registration is None:
        kept = (name, data.get("address"), *(value for value in data.values() if value))
        assert not all(isinstance(each, str) for each in kept)
    else:
        assert (registration.name, registration.address) == (name, data["address"])
        assert registration.branch == (data.get("branch") or "main")
        assert all(secret and isinstance(secret, str) for secret in registration.secrets)


def test_what_prefect_shows_in_the_place_of_a_secret_is_none():
    from prefect.utilities.names import obfuscate

    shown = {"address": "https://forge.example.com/ci/notebooks.git", "webhook_secret": obfuscate("s3cr3t")}
    registration = Registration.of_block({"name": "copied", "data": shown})
    assert registration
    assert registration.secrets == ()


SIGNATURES = (
    "x-hub-signature-256",
    "x-hub-signature",
    "x-gitea-signature",
    "x-gitlab-token",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
)


@given(
    st.dictionaries(st.sampled_from(SIGNATURES), st.text() | st.integers().map(str), min_size=1), st.binary()
)
def test_whatever_the_headers_say_is_no_signature(headers: dict[str, str], body: bytes):
    assert not is_signed(headers, body, ("s3cr3t of more than a few letters", "0ld"))


def waiting(commit: int, pushes: Pushes) -> Waiting:
    wanted = Wanted(UUID(int=1), str(commit), f"{commit}", {}, [], pushes)
    return Waiting(wanted, asyncio.Future(loop=LOOP))


LOOP = asyncio.new_event_loop()
LOOP.close()
COMMITS = st.integers(1, 8)


@given(st.lists(st.tuples(COMMITS | st.none(), COMMITS, st.booleans()), min_size=1, max_size=30))
def test_no_push_is_left_out_for_one_that_is_not_known_to_follow_it(
    arrived: list[tuple[int | None, int, bool]],
):
    pushes, waits = Pushes(), []
    said: dict[str, set[str]] = {}
    for before, commit, is_for_the_model in arrived:
        if before != commit:
            pushes.add(str(before) if before else None, str(commit))
            said.setdefault(str(commit), set()).add(str(before))
            if is_for_the_model:
                waits.append(waiting(commit, pushes))
    started = newest_of(waits)
    assert sorted(map(id, waits)) == sorted(id(each) for _, covered in started for each in covered)
    for newest, covered in started:
        assert newest in covered
        assert {each.wanted.commit for each in covered} <= _all_before(newest.wanted.commit, said)


def _all_before(commit: str, said: dict[str, set[str]]) -> set[str]:
    """The commit and all that any pushes said to be before it."""
    found, more = {commit}, {commit}
    while more := set().union(*(said.get(each, set()) for each in more)) - found:
        found |= more
    return found


@given(st.lists(COMMITS, min_size=2, max_size=30))
def test_however_a_branch_moved_its_last_commit_is_started(heads: list[int]):
    moves = [(a, b) for a, b in pairwise(heads) if a != b]
    pushes = Pushes()
    waits = []
    for before, commit in moves:
        pushes.add(str(before), str(commit))
        waits.append(waiting(commit, pushes))
    for newest, covered in newest_of(waits):
        if waits[-1] in covered:
            assert newest.wanted.commit == waits[-1].wanted.commit


def request_of(host: str) -> Request:
    return Request({"type": "http", "client": (host, 1), "headers": []})


def let_in(rates: Rates, host: str) -> bool:
    try:
        rates.take(request_of(host))
    except Refusal:
        return False
    return True


@pytest.fixture(scope="module")
def clock() -> Iterator[SimpleNamespace]:
    """The time that the limits see."""
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        patch.setattr(limits, "time", clock)
        yield clock


@given(st.data(), st.lists(st.tuples(st.floats(0, 2), st.integers(0, 400)), max_size=12))
def test_a_source_never_gets_more_than_its_rate(
    clock: SimpleNamespace, data: st.DataObject, bursts: list[tuple[float, int]]
):
    rates, began, let = Rates(), clock.now, 0
    for pause, number in bursts:
        clock.now += pause
        let += sum(let_in(rates, "192.0.2.1") for _ in range(number))
        assert let <= 300 + 100 * (clock.now - began) + 1
        assert let_in(rates, data.draw(st.ip_addresses().map(str).filter(lambda host: host != "192.0.2.1")))


@given(st.lists(st.floats(0, 2), max_size=100))
def test_who_is_charged_for_guesses_gets_the_fewer(clock: SimpleNamespace, pauses: list[float]):
    rates, began, let = Rates(), clock.now, 0
    for pause in pauses:
        clock.now += pause
        if let_in(rates, "192.0.2.1"):
            let += 1
            rates.charge(request_of("192.0.2.1"), 20)
        assert let <= (300 + 100 * (clock.now - began)) / 20 + 1


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_addresses_of_ipv4_are_their_own_sources_however_they_are_written(one: IPv4Address, two: IPv4Address):
    rates = Rates()
    rates.charge(request_of(f"::ffff:{one}"), 1000)
    assert not let_in(rates, str(one))
    assert let_in(rates, f"::ffff:{two}") == (one != two)


HALVES = st.integers(1, 2**64 - 1)


@given(HALVES, HALVES, HALVES)
def test_a_network_of_ipv6_is_one_source(network: int, host: int, neighbour: int):
    rates = Rates()
    rates.charge(request_of(str(IPv6Address(network << 64 | host))), 1000)
    assert not let_in(rates, str(IPv6Address(network << 64 | neighbour)))


@given(st.text() | st.ip_addresses(v=6).map(lambda address: f"{address}%eth0"))
def test_whatever_a_proxy_says_is_a_source(host: str):
    rates = Rates()
    assert let_in(rates, host)
    rates.charge(request_of(host), 1000)
    assert not let_in(rates, host)


@given(st.lists(st.binary(max_size=2)))
def test_what_is_remembered_is_bounded_and_the_newest(keys: list[bytes]):
    recent: Recent[int] = Recent(3, 60)
    for number, key in enumerate(keys):
        recent.put(key, number)
    newest = list(dict.fromkeys(reversed(keys)))[:3]
    kept = {key: value for key in set(keys) if (value := recent.get(key)) is not None}
    assert len(kept) <= 3
    if newest:
        assert kept[newest[0]] == len(keys) - 1


@given(st.dictionaries(st.sampled_from(["name", "delivery", "reason", "event"]), st.text()), st.text())
def test_a_log_record_is_one_line_of_json(told: dict[str, str], message: str):
    try:
        raise InvalidInput(message)
    except InvalidInput:
        error = sys.exc_info()
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, message, None, error)
    record.told = told
    line = JsonLines().format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) | told | {"message": message} == json.loads(line)

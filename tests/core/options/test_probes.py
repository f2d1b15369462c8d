"""Probes as values: what they take, how they are put together, when the answer is known."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import SpecError, ready
from aioverseer.core.options.composition import AllOf, AnyOf, Probe, is_fulfilled, leaves, pending
from aioverseer.core.options.probes import endpoint_of, pause_before_next

LEAVES = [ready.tcp(port) for port in range(1, 6)]
PROBES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.tuples(inner, inner, st.booleans()).map(lambda t: t[0] & t[1] if t[2] else t[0] | t[1]),
    max_leaves=8,
)
DONE = st.sets(st.sampled_from(LEAVES))


def naive(probe: Probe, done: set[Probe]) -> bool:
    """By the words: all, any, or itself."""
    if isinstance(probe, AllOf):
        return all(naive(part, done) for part in probe.probes)
    if isinstance(probe, AnyOf):
        return any(naive(part, done) for part in probe.probes)
    return probe in done


@given(probe=PROBES, done=DONE)
def test_composed_probes_agree_with_a_naive_model(probe: Probe, done: set[Probe]) -> None:
    """However it was nested."""
    assert naive(probe, done) == is_fulfilled(probe, done)


@given(probe=PROBES, done=DONE)
def test_pending_leaves(probe: Probe, done: set[Probe]) -> None:
    """With all of it the answer is yes; without any of it nothing else can change the answer."""
    left = pending(probe, done)
    assert left <= set(leaves(probe)) - done
    assert naive(probe, done | left)
    others = set(LEAVES) - left
    assert naive(probe, done) == naive(probe, done | others)
    assert bool(left) != naive(probe, done)


def test_chains_are_flat_and_read_as_sentences() -> None:
    """As they were written."""
    a, b, c = LEAVES[:3]
    assert AllOf(probes=(a, b, c)) == a & b & c
    assert (a, b) == leaves((a | b) & a)
    assert "(tcp 127.0.0.1:1 or tcp 127.0.0.1:2) and tcp 127.0.0.1:3" == str((a | b) & c)
    assert "a line with 'up' on stderr" == str(ready.line("up", stream="stderr"))
    with pytest.raises(TypeError):
        a & 5  # type: ignore[operator]  # the subject of the test


def test_equal_probes_are_one() -> None:
    """They are values."""
    assert ready.line("up") == ready.line(re.compile("up"))
    assert (ready.tcp(1),) == leaves(ready.tcp(1) & ready.tcp(1))


@pytest.mark.parametrize(
    ("waited", "took", "seconds"),
    [(0, 0, 0.0025), (0.125, 0, 0.0025), (1, 0, 0.02), (10, 0.001, 0.2), (3600, 0, 1), (0, 0.04, 0.04), (0, 5, 1)],
)
def test_the_pause_grows_with_the_time_that_has_been_waited(waited: float, took: float, seconds: float) -> None:
    """Two per cent of it, from 5 ms to 1 s, and never less than an attempt takes."""
    assert pytest.approx(seconds) == pause_before_next(waited=waited, took=took)


async def needs_two(_a: object, _b: object) -> None:
    """A function that cannot be called."""


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: ready.tcp(0), "port=0"),
        (lambda: ready.tcp(65536), "port=65536"),
        (lambda: ready.tcp(True), "port=True"),
        (lambda: ready.tcp("80"), "port='80'"),
        (lambda: ready.tcp(80, host=""), "host=''"),
        (lambda: ready.unix(""), "path=''"),
        (lambda: ready.file(5), "path=5"),  # type: ignore[arg-type]  # the types forbid it
        (lambda: ready.line("("), "no regular expression"),
        (lambda: ready.line("x", stream="both"), "stream='both'"),  # type: ignore[arg-type]  # the types forbid it
        (ready.command, "name the command"),
        (lambda: ready.command("x", "a\0b"), "NUL"),
        (lambda: ready.fd(2), "number=2"),
        (lambda: ready.fd(10), "number=10"),
        (lambda: ready.check(5), "cannot be called"),  # type: ignore[arg-type]  # the types forbid it
        (
            lambda: ready.check(asyncio.Event().wait, timeout=0),
            "ready.check: timeout=0 is too low: pass seconds, more than 0, or None",
        ),
        (lambda: ready.check(needs_two), "takes too much"),  # type: ignore[arg-type]  # the types forbid it
        (lambda: ready.http("localhost:80"), "no URL"),
        (lambda: ready.http("http://x", status=99), "no status"),
        (lambda: ready.tcp(80, owner="me"), "ready.tcp: owner='me'"),  # type: ignore[arg-type]  # the types forbid it
        (lambda: ready.unix("s", owner=None), "ready.unix: owner=None"),  # type: ignore[arg-type]  # the types forbid it
        (lambda: ready.http("http://x", owner=1), "ready.http: owner=1"),  # type: ignore[arg-type]  # the types forbid it
    ],
)
def test_refused_values_of_a_probe_are_named(make: Any, hint: str) -> None:
    """With what to do instead."""
    with pytest.raises(SpecError, match=re.escape(hint)):
        make()


@pytest.mark.parametrize(
    ("probe", "endpoint"),
    [
        (ready.tcp(80), ("127.0.0.1", 80)),
        (ready.tcp(80, "::1"), ("::1", 80)),
        (ready.tcp(80, owner="any"), None),
        (ready.unix("s"), None),
        (ready.http("http://127.0.0.1:8000/health"), ("127.0.0.1", 8000)),
        (ready.http("http://localhost"), ("localhost", 80)),
        (ready.http("https://me:secret@[::1]?a=b:9/c"), ("::1", 443)),
        (ready.http("https://[::1]:8443#x"), ("::1", 8443)),
        (ready.http("http://x:port/"), None),
        (ready.http("http://127.0.0.1:8000/", owner="any"), None),
    ],
)
def test_endpoint_whose_owner_matters(probe: Probe, endpoint: tuple[str, int] | None) -> None:
    """Of an address with its parts, and of probes that care who listens."""
    assert endpoint == endpoint_of(probe)


def test_http_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the program is described, and not when it is started at night."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SpecError, match=re.escape("pip install 'aioverseer[http]'")):
        ready.http("http://127.0.0.1:80/")


@pytest.mark.parametrize("join", [lambda probe: probe & 5, lambda probe: probe | 5])
def test_probe_joins_only_probes(join: Any) -> None:
    """Any other operand is a TypeError of the language."""
    with pytest.raises(TypeError, match="unsupported operand"):
        join(ready.fd())


def test_unix_socket_is_named_by_its_path() -> None:
    """Messages show the probe as text."""
    assert "unix /run/x" == str(ready.unix("/run/x"))


def test_pattern_of_bytes_is_refused() -> None:
    """Lines are text for a probe, whatever the encoding of the program."""
    pattern: Any = re.compile(b"up")
    with pytest.raises(SpecError, match=r"ready.line: pattern=.* is no text"):
        ready.line(pattern)


def test_function_without_a_signature_is_called_without_arguments() -> None:
    """Some built-in functions have none."""
    function: Any = max
    assert not ready.check(function).takes_process  # type: ignore[attr-defined]  # of a Check

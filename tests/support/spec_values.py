"""Specs for property tests: values of every option, and functions that stand in them."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from aioverseer import (
    After,
    Alive,
    Backoff,
    Cron,
    Every,
    LogBridge,
    LogFile,
    PidFile,
    Process,
    Recycle,
    Restart,
    Roll,
    Spec,
    SpecError,
    Stop,
    Watch,
    framing,
    listen,
    ready,
)
from aioverseer.core.options.composition import leaves
from aioverseer.core.options.framing import FramingOption


async def is_up() -> bool:
    return True


async def is_up_of(process: Process) -> bool:
    return process.pid is not None


def on_give_up(_error: object) -> None: ...


async def feed() -> Any:
    yield "x"


class Splitter:
    """A framing of a user."""

    def feed(self, data: bytes, /) -> list[bytes]:
        """Return the bytes as one item."""
        return [data]

    def end(self) -> list[bytes]:
        """Return nothing."""
        return []


WORDS = st.sampled_from(["a", "web", "x y", "ä", "{id}", '"'])
SECONDS = st.sampled_from([0.0, 0.5, 1, 30.0])
SOME_SECONDS = st.sampled_from([0.5, 1.0, 30.0])
SIGNALS = st.sampled_from([signal.SIGTERM, signal.SIGINT, signal.SIGKILL, 35])
CODES = st.frozensets(st.integers(0, 255), max_size=3)
STREAMS = st.sampled_from([None, "stdout", "stderr"])
PATTERNS = st.sampled_from(["up", re.compile("up", re.IGNORECASE), re.compile("(?s)up", re.ASCII | re.VERBOSE)])
OWNERS = st.sampled_from(["program", "any"])
LEAVES: st.SearchStrategy[ready.Probe] = st.one_of(
    st.builds(ready.tcp, st.integers(1, 65535), st.sampled_from(["127.0.0.1", "::1"]), owner=OWNERS),
    st.builds(ready.unix, st.sampled_from(["/run/x", "@x"]), owner=OWNERS),
    st.builds(
        ready.http,
        st.just("http://a/b"),
        status=st.sampled_from([None, 204, (200, 404)]),
        body=st.none() | PATTERNS,
        owner=OWNERS,
    ),
    st.builds(ready.line, PATTERNS, STREAMS),
    st.builds(ready.prompt, PATTERNS, STREAMS),
    st.builds(ready.file, st.just("/run/x"), fresh=st.booleans()),
    st.builds(ready.command, st.just("true"), WORDS),
    st.just(ready.notify()),
    st.builds(ready.fd, st.integers(3, 9)),
    st.builds(ready.check, st.sampled_from([is_up, is_up_of]), timeout=st.sampled_from([None, 5.0, 1.0])),
)
PROBES = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(inner, inner).map(lambda two: two[0] & two[1])
        | st.tuples(inner, inner).map(lambda two: two[0] | two[1])
    ),
    max_leaves=4,
)
LADDERS = st.one_of(
    st.builds(Stop, st.sampled_from([signal.SIGTERM, signal.SIGINT]), st.sampled_from([2.0, 10.0])),
    st.builds(
        Stop,
        steps=st.lists(
            st.one_of(
                st.tuples(st.sampled_from([signal.SIGINT, signal.SIGTERM, 36]), SECONDS),
                st.builds(Stop.close_stdin, SECONDS),
                st.builds(Stop.write, st.sampled_from(["quit\n", b"\xff"]), SECONDS),
                st.builds(Stop.command, st.just(["kill", "{pid}"]), SECONDS),
            ),
            min_size=1,
            max_size=3,
        ),
        scope=st.sampled_from(["tree", "leader"]),
    ),
    st.just(Stop(steps=[(signal.SIGTERM, 5), (signal.SIGKILL, 7)])),
)
BACKOFFS = st.builds(
    Backoff, SECONDS, SECONDS, st.sampled_from([1, 2.5]), st.sampled_from([False, True, "full", "decorrelated"])
)
RESTARTS = st.builds(
    Restart,
    st.sampled_from(["on-failure", "always", "never", "on-abnormal"]),
    max_restarts=st.none() | st.integers(0, 9),
    within=st.none() | SOME_SECONDS,
    backoff=st.none() | BACKOFFS,
    reset_after=SECONDS,
    success_codes=CODES,
    success_signals=st.frozensets(SIGNALS),
    prevent_codes=st.just(frozenset({7})),
    force_codes=st.just(frozenset({8})),
)
FRAMINGS: st.SearchStrategy[FramingOption] = st.one_of(
    st.builds(framing.lines, end=st.sampled_from([None, "\0", b"\xff"])),
    st.just(framing.lines(universal=True)),
    st.just(framing.chunks()),
    st.builds(framing.content_length, limit=st.sampled_from([1000, 64 * 1024 * 1024])),
    st.builds(framing.length_prefix, st.integers(1, 8), st.sampled_from(["big", "little"])),
    st.just(Splitter),
)
UPSTREAM = Spec.of("seq", ["seq"])
OUTPUTS = st.sampled_from(["read", "inherit", "null"])
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "cwd": st.sampled_from([None, "/", Path("/srv")]),
    "env": st.none() | st.dictionaries(st.sampled_from(["A", "B"]), WORDS),
    "extra_env": st.dictionaries(st.sampled_from(["A", "B"]), WORDS),
    "stdin": st.sampled_from([None, "pipe", "inherit", "text", b"\xff", Path("/etc/hosts"), feed, UPSTREAM]),
    "pty": st.booleans(),
    "window_size": st.just((100, 40)),
    "output": OUTPUTS,
    "stdout": st.none() | OUTPUTS,
    "stderr": st.none() | OUTPUTS,
    "buffered": st.booleans(),
    "streaming": st.sampled_from([False, True, "stdout", "stderr"]),
    "merge_stderr": st.booleans(),
    "framing": FRAMINGS | st.dictionaries(st.sampled_from(["stdout", "stderr"]), FRAMINGS),
    "encoding": st.sampled_from(["utf-8", "latin-1", None]),
    "errors": st.sampled_from(["replace", "ignore"]),
    "line_limit": st.integers(16, 99),
    "queue_size": st.integers(1, 9),
    "drain_timeout": SECONDS,
    "main_pid": st.sampled_from([None, "notify", PidFile("web.pid")]),
    "leftovers": st.sampled_from(["kill", "keep", "report"]),
    "containment": st.sampled_from([None, "basic", "strict"]),
    "memory_max": st.none() | st.integers(4096, 9999),
    "pids_max": st.none() | st.integers(1, 9),
    "cpu_max": st.sampled_from([None, 0.5, 2]),
    "user": st.sampled_from([None, "nobody", 65534, "nobody:users"]),
    "extra_groups": st.lists(st.sampled_from(["users", 7]), max_size=2),
    "umask": st.sampled_from([None, 0, 0o022, 0o177]),
    "nice": st.none() | st.integers(-20, 19),
    "rlimits": st.sampled_from([{}, {"nofile": 9}, {"nofile": (9, 99), "core": -1}]),
    "no_new_privileges": st.booleans(),
    "oom_score_adj": st.none() | st.integers(-1000, 1000),
    "cpus": st.sampled_from([(), [0], range(4)]),
    "io_class": st.sampled_from([None, "idle", "best-effort:7"]),
    "ambient_capabilities": st.sampled_from([[], ["CAP_NET_BIND_SERVICE", "kill"]]),
    "delay_start": SECONDS,
    "max_runtime": SOME_SECONDS,
    "schedule": st.one_of(
        st.builds(Cron, st.sampled_from(["@daily", "30 2 * * mon"]), overlap=st.sampled_from(["skip", "queue"])),
        st.builds(Every, st.sampled_from([5, 60.5]), first=st.sampled_from(["after_period", "at_start"])),
    ),
    "stop": LADDERS,
    "prepare": st.sampled_from([None, on_give_up, ("initdb", "-D", "data")]),
    "cleanup": st.sampled_from([None, on_give_up, ("rm", "x")]),
    "reload": st.sampled_from([None, signal.SIGHUP, 40, "notify", ("nginx", "-s", "reload")]),
    "restart": RESTARTS,
    "ready": st.none() | PROBES,
    "ready_timeout": st.none() | SECONDS,
    "roll": st.none()
    | st.builds(
        Roll,
        surge=st.sampled_from([1, 2, "25%"]),
        unavailable=st.sampled_from([0, 1, "50%"]),
        min_ready=st.none() | SECONDS,
        deadline=st.none() | SOME_SECONDS,
        on_failure=st.sampled_from(["rollback", "pause", "continue"]),
    ),
    "alive": st.none()
    | st.builds(
        Alive,
        PROBES.filter(lambda probe: not any(leaf.comes_once for leaf in leaves(probe))),
        every=SOME_SECONDS,
        timeout=SOME_SECONDS,
        failures=st.integers(1, 9),
        successes=st.integers(1, 9),
        grace=SECONDS,
        action=st.sampled_from(["restart", "mark"]),
    ),
    "after": st.sampled_from([
        (),
        "db",
        ["db", "cache"],
        {"db": "success"},
        [After("db", "started", hard=False, on_restart="restart", on_end="stop"), After("cache")],
    ]),
    "critical": st.booleans(),
    "recycle": st.sampled_from([None, Recycle(age=60), Recycle(memory=1 << 20, hold=0, spread=0)]),
    "watch": st.sampled_from([None, Watch("src"), Watch("a", "b", include="*.py", exclude=["x"], debounce=0)]),
    "on_give_up": st.sampled_from(["leave", "stop", "end", on_give_up]),
    "group": st.sampled_from(["", "workers"]),
    "significant": st.booleans(),
    "log": st.sampled_from([
        None,
        [],
        LogFile("a.log"),
        [
            LogFile("b.log", max_bytes=9, keep=2, every=86400, compress=True, timestamps=True, stream="stdout"),
            LogFile("c.log", format="json", overflow="drop_newest"),
            LogBridge(),
            LogBridge("app.{id}", 10, 50),
        ],
    ]),
    "instances": st.none() | st.integers(0, 9),
    "port": st.sampled_from([None, range(9000, 9100), range(80, 81)]),
    "listen": st.sampled_from([
        {},
        {"http": listen.tcp(8000), "admin": listen.tcp(8001, host="::")},
        {"a": listen.unix("/run/a"), "b": listen.unix("@b"), "c": listen.unix("c", mode=0o660)},
        {"http": listen.inherited("web.socket")},
    ]),
    "on_demand": st.booleans(),
}  # fmt: skip
"""Values of each option. A new option needs a row here, as in ``FORMS`` and in ``EFFECTS``."""


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Return a Spec with a few options that go together."""
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=5, unique=True))
    options: Any = {name: draw(OPTIONS[name]) for name in names}
    try:
        return Spec.of(draw(WORDS), draw(st.lists(WORDS, min_size=1, max_size=3)), **options)
    except SpecError:
        reject()

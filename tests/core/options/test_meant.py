"""Values that are surely meant otherwise: each is refused, and the error says what to write."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aioverseer import After, Alive, Backoff, Group, LogBridge, LogFile, Restart, Spec, SpecError, Stop, ready
from aioverseer.core.options.numbers import seconds_in, whole_in

OPTIONS: list[tuple[str, Any, str]] = [
    # option, value, what to write
    ("restart", "always", "write restart=Restart('always')"),
    ("restart", "unless-stopped", "write restart=Restart('always')"),
    ("restart", "on_failure", "write restart=Restart('on-failure')"),
    ("restart", True, "write restart=Restart('always')"),
    ("restart", False, "write restart=Restart('never')"),
    ("restart", None, "write restart=Restart('never')"),
    ("restart", 3, "write restart=Restart(max_restarts=3)"),
    ("restart", Restart, "write restart=Restart()"),
    ("restart", Backoff(), "write restart=Restart(backoff=Backoff("),
    ("stop", "SIGINT", "write stop=Stop(signal.SIGINT)"),
    ("stop", signal.SIGINT, "write stop=Stop(signal.SIGINT)"),
    ("stop", 5, "write stop=Stop(timeout=5)"),
    ("stop", "5s", "write stop=Stop(timeout=5)"),
    ("stop", (signal.SIGINT, 5), "write stop=Stop(signal.SIGINT, timeout=5)"),
    ("stop", [(signal.SIGINT, 5)], "write stop=Stop(steps=["),
    ("stop", None, "leave stop out for its default"),
    ("stop", Stop, "write stop=Stop()"),
    ("ready", 6379, "write ready=ready.tcp(6379)"),
    ("ready", "6379", "write ready=ready.tcp(6379)"),
    ("ready", "localhost:6379", "write ready=ready.tcp(6379, host='localhost')"),
    ("ready", "http://127.0.0.1:8000/up", "write ready=ready.http('http://127.0.0.1:8000/up')"),
    ("ready", "/run/app.sock", "write ready=ready.unix('/run/app.sock') for a socket"),
    ("ready", "sd_notify", "write ready=ready.notify()"),
    ("ready", "listening on", "write ready=ready.line('listening on')"),
    ("ready", re.compile("up"), "write ready=ready.line(re.compile('up'))"),
    ("ready", Path("/run/app.pid"), "write ready=ready.file('/run/app.pid')"),
    ("ready", ready.tcp, "write ready=ready.tcp(...), with its arguments"),
    ("ready", [ready.tcp(1), ready.tcp(2)], "write ready=ready.tcp(1) & ready.tcp(2) for both"),
    ("ready", Alive(ready.tcp(1)), "write alive= for liveness"),
    ("alive", ready.tcp(80), "write alive=Alive(...) around the probe of tcp 127.0.0.1:80"),
    ("alive", 8000, "write alive=Alive(ready.tcp(8000))"),
    ("alive", "http://127.0.0.1/", "write alive=Alive(ready.http('http://127.0.0.1/'))"),
    ("after", [("db", "ready")], "write after={'db': 'ready'}"),
    ("after", {"db": "service_healthy"}, "write after={'db': 'ready'}"),
    ("after", {"db": {"condition": "service_completed_successfully"}}, "write after={'db': 'success'}"),
    ("after", {"db": True}, "write after={'db': 'ready'}"),
    ("after", b"db", "write after='db'"),
    ("after", None, "leave after out"),
    ("output", subprocess.PIPE, "write 'read'"),
    ("stdout", subprocess.STDOUT, "write merge_stderr=True"),
    ("output", subprocess.DEVNULL, "write 'null'"),
    ("output", "out.log", "write log=LogFile('out.log')"),
    ("containment", "cgroups", "write 'strict'"),
    ("containment", 5, "is no level: pass one of 'auto', 'basic'"),
    ("containment", "off", "write 'basic'"),
    ("stderr", subprocess.STDOUT, "write merge_stderr=True"),
    ("umask", "022", "write umask=0o022"),
    ("umask", "0o22", "write umask=0o022"),
    ("nice", "10", "write nice=10"),
    ("memory_max", "512M", "write 512 * 1024**2"),
    ("memory_max", 1e6, "write 1000000"),
    ("cpu_max", "50%", "write cpu_max=0.5"),
    ("window_size", "80x24", "write window_size=(80, 24)"),
    ("group", logging.getLogger("web"), "write group='web'"),
    ("group", None, "write group='' for none"),
    ("log", "web.log", "write log=LogFile('web.log')"),
    ("log", Path("web.log"), "write log=LogFile('web.log')"),
    ("log", logging.getLogger("web"), "write log=LogBridge('web')"),
    ("log", sys.stdout, "write log=LogFile('web.log'), or log=LogBridge() for logging"),
    ("cwd", "~/app", "pass os.path.expanduser('~/app')"),
    ("cwd", "$HOME/app", "pass os.path.expandvars('$HOME/app')"),
    ("delay_start", "2s", "pass seconds, 0 or more; write 2"),
    ("ready_timeout", "1m", "or None for no limit; write 60"),
    ("drain_timeout", timedelta(seconds=1.5), "write 1.5"),
    ("line_limit", "64", "pass 16 or more; write 64"),
]


@pytest.mark.parametrize(("option", "value", "hint"), OPTIONS, ids=lambda each: ascii(each).partition(" at 0x")[0][:40])
def test_the_error_says_what_to_write(option: str, value: Any, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.of("web", ["true"], **{option: value})
    assert str(caught.value).startswith(f"service 'web': {option}={value!r} ")
    assert hint in str(caught.value)
    assert (option, value) == (caught.value.option, caught.value.value)


def test_handle_of_a_service_is_no_name() -> None:
    class Handle:
        id = "db"

    for value, hint in ((Handle(), "write after='db'"), ([Handle()], r"write after=\['db'\]")):
        with pytest.raises(SpecError, match=hint):
            Spec.of("web", ["true"], after=value)  # type: ignore[arg-type]  # wrong on purpose


ARGUMENTS: list[tuple[list[Any], str]] = [
    (["sleep", 60], "argv[1]=60 is of type int: every argument is a str or a path; write '60'"),
    (["sleep", True], "argv[1]=True is of type bool: every argument is a str or a path"),
    (["sleep", None], "argv[1]=None is of type NoneType: every argument is a str or a path; leave it out"),
    ([b"sleep"], "argv[0]=b'sleep' is of type bytes: every argument is a str or a path; write 'sleep'"),
    ([["sleep", "60"]], "unpack the list: *['sleep', '60']"),
    (["PORT=1", "app"], "sets a variable, which only a shell does: pass extra_env={'PORT': '1'}"),
    (["~nobody/bin/app"], "pass os.path.expanduser('~nobody/bin/app')"),
    (["~/bin/app"], "pass os.path.expanduser('~/bin/app')"),
    (["$HOME/bin/app"], "pass os.path.expandvars('$HOME/bin/app')"),
]


@pytest.mark.parametrize(("argv", "hint"), ARGUMENTS, ids=str)
def test_arguments_that_only_a_shell_understands(argv: list[Any], hint: str) -> None:
    with pytest.raises(SpecError, match=re.escape(hint)):
        Spec.of("web", argv)


@pytest.mark.parametrize("argv", [["./~/app"], ["app", "~", "$HOME", "A=1"], ["/srv/a=b/app"], ["1=2"]], ids=str)
def test_other_arguments_are_taken_literally(argv: list[str]) -> None:
    assert tuple(argv) == Spec.of("web", argv).argv


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("PIPE", "stdin='PIPE' would be fed as text: write stdin=\"pipe\""),
        ("null", "pass None, for the null device"),
        ("INHERIT", 'write stdin="inherit"'),
        (subprocess.PIPE, 'write stdin="pipe"'),
        (subprocess.DEVNULL, "leave stdin out, or pass None, for the null device"),
    ],
)
def test_stdin_by_the_words_of_subprocess(value: Any, hint: str) -> None:
    with pytest.raises(SpecError, match=re.escape(hint)):
        Spec.of("web", ["true"], stdin=value)
    assert b"PIPE" == Spec.of("web", ["true"], stdin=b"PIPE").stdin


@pytest.mark.parametrize("text", ["/opt/bin:$PATH", "${PATH}:/opt/bin"])
def test_variable_that_extends_itself_needs_a_shell(text: str) -> None:
    """A dollar before another name is literal: it may be part of a secret."""
    for option in ("env", "extra_env"):
        with pytest.raises(SpecError, match=re.escape(f"{option}['PATH'] holds $PATH, which only a shell expands")):
            Spec.of("web", ["true"], **{option: {"PATH": text}})  # type: ignore[arg-type]  # any option
    assert {"KEY": "a$PATH"} == Spec.of("web", ["true"], extra_env={"KEY": "a$PATH"}).extra_env
    assert {"PASS": "$PASSw0rd"} == Spec.of("web", ["true"], extra_env={"PASS": "$PASSw0rd"}).extra_env


@pytest.mark.parametrize("id", ["a\nb", "a\tb", "a\x1b[31m"])
def test_name_without_control_characters(id: str) -> None:
    with pytest.raises(SpecError, match="is no name for a service"):
        Spec.of(id, ["true"])
    assert "a b/ü" == Spec.of("a b/ü", ["true"]).id


def test_size_of_a_terminal_may_be_a_list() -> None:
    """It becomes a tuple, so that the Spec can be hashed."""
    made = Spec.of("web", ["true"], window_size=[80, 24])  # type: ignore[arg-type]  # works as meant
    assert (80, 24) == made.window_size
    assert hash(made) == hash(Spec.of("web", ["true"]))


OTHERS: list[tuple[Callable[[], object], str]] = [
    (lambda: Stop("TERM"), "stop.signal='TERM' is no signal: write signal.SIGTERM"),  # type: ignore[arg-type]  # on purpose
    (lambda: Stop("15"), "write signal.SIGTERM"),  # type: ignore[arg-type]  # on purpose
    (lambda: Stop(timeout="10s"), "stop.timeout='10s' is no time: pass seconds, 0 or more; write 10"),  # type: ignore[arg-type]  # on purpose
    (lambda: Stop(timeout=-1), "stop.timeout=-1 is too low: pass seconds, 0 or more"),
    (lambda: Stop(timeout=float("inf")), "stop.timeout=inf is no time, as it has no end"),
    (lambda: Stop(signal.SIGINT, signal.SIGTERM), "is a signal: write (signal, seconds)"),
    (lambda: Stop(steps=[(5, signal.SIGINT)]), "is a signal: write (signal, seconds)"),
    (lambda: Stop(steps={signal.SIGINT: 5}), "pass pairs (signal, seconds), for example [(signal.SIGINT, 5)]"),  # type: ignore[dict-item]  # on purpose
    (lambda: Stop([signal.SIGINT, signal.SIGTERM]), "for several write Stop(steps=[(signal.SIGINT, 5), ...])"),  # type: ignore[arg-type]  # on purpose
    (lambda: Restart(True), "write Restart('always')"),  # type: ignore[arg-type]  # on purpose
    (lambda: Restart("no"), "write Restart('never')"),  # type: ignore[arg-type]  # on purpose
    (lambda: Restart(5), "write Restart(max_restarts=5)"),  # type: ignore[arg-type]  # on purpose
    (
        lambda: Restart(max_restarts=-1),
        "restart.max_restarts=-1 is too low: pass a whole number of restarts, 0 or more",
    ),
    (lambda: Restart(max_restarts="5"), "pass 0 or more, or None for no limit; write 5"),  # type: ignore[arg-type]  # on purpose
    (lambda: Restart(within=0), "restart.within=0 is too low: pass seconds, more than 0, or None for ever"),
    (lambda: Restart(success_codes=0), "restart.success_codes=0 is no set of numbers: pass {0}"),  # type: ignore[arg-type]  # on purpose
    (lambda: Restart(success_codes=[-15]), "write success_signals={signal.SIGTERM}"),
    (lambda: Restart(success_codes=[signal.SIGTERM]), "write success_signals={signal.SIGTERM}"),
    (lambda: Restart(success_signals=["TERM"]), "write signal.SIGTERM"),  # type: ignore[list-item]  # wrong on purpose
    (lambda: Backoff("1s"), "backoff.min='1s' is no time: pass seconds, 0 or more; write 1"),  # type: ignore[arg-type]  # on purpose
    (lambda: Backoff(rng=5), "backoff.rng=5 gives no random numbers: pass for example random.Random(1)"),  # type: ignore[arg-type]  # on purpose
    (lambda: Alive(8000), "Alive: probe=8000 is no probe: pass ready.tcp(8000)"),  # type: ignore[arg-type]  # on purpose
    (lambda: Alive(ready.tcp(1), every=0), "Alive: every=0 is too low: pass seconds, 0.001 or more"),
    (lambda: Alive(ready.tcp(1), failures=0), "failures=0 is too low: pass a whole number of checks, 1 or more"),
    (lambda: ready.tcp("6379"), "pass 1 to 65535; write ready.tcp(6379)"),
    (lambda: ready.tcp("localhost", 6379), "write ready.tcp(6379, host='localhost')"),  # type: ignore[arg-type]  # on purpose
    (lambda: ready.tcp(0), "port=0 is too low: pass 1 to 65535"),
    (lambda: ready.http("http://x/", status="200"), "status='200' is no status"),  # type: ignore[arg-type]  # on purpose
    (lambda: ready.command("pg_isready -q"), "arguments are separate: pass 'pg_isready', '-q'"),
    (lambda: ready.command(["a", "b"]), "is one list: unpack it: *['a', 'b']"),  # type: ignore[arg-type]  # on purpose
    (lambda: ready.file("~/up"), "pass os.path.expanduser('~/up')"),
    (lambda: LogFile("~/web.log"), "pass os.path.expanduser('~/web.log')"),
    (lambda: LogFile("web.log", max_bytes="10M"), "write 10 * 1024**2"),  # type: ignore[arg-type]  # on purpose
    (lambda: LogFile("web.log", every="daily"), "pass seconds, 1 or more, or None for no limit; write 86400"),  # type: ignore[arg-type]  # on purpose
    (lambda: LogBridge(logging.getLogger("web")), "is no name of a logger: pass 'web'"),  # type: ignore[arg-type]  # on purpose
    (lambda: After("db", "healthy"), "pass 'started' or 'ready' or 'finished' or 'success'"),  # type: ignore[arg-type]  # on purpose
    (lambda: Group(name="g", strategy="one-for-one"), "write 'one_for_one'"),  # type: ignore[arg-type]  # on purpose
    (lambda: Group(name="g", restart="always"), "write restart=Restart('always')"),  # type: ignore[arg-type]  # on purpose
]


@pytest.mark.parametrize(("make", "hint"), OTHERS, ids=[hint[:40] for _, hint in OTHERS])
def test_other_values_say_what_to_write(make: Callable[[], object], hint: str) -> None:
    with pytest.raises(SpecError, match=re.escape(hint)):
        make()


def test_result_of_a_call_is_no_function() -> None:
    async def asks() -> bool:
        return True

    called = asks()
    with pytest.raises(SpecError, match="is the result of a call: pass the function itself"):
        ready.check(called)  # type: ignore[arg-type]  # wrong on purpose
    called.close()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("500ms", "0.5"), ("10", "10"), (" 1.5 min ", "90"), ("2h", "7200"), ("1d", "86400"), ("soon", None), (5, None)],
)
def test_text_that_stands_for_seconds(value: object, seconds: str | None) -> None:
    assert seconds == seconds_in(value)


@pytest.mark.parametrize(
    ("value", "number"), [("64", "64"), ("1KiB", "1 * 1024**1"), ("2g", "2 * 1024**3"), (2.0, "2"), (2.5, None)]
)
def test_text_that_stands_for_a_whole_number(value: object, number: str | None) -> None:
    assert number == whole_in(value)

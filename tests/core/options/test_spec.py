from __future__ import annotations

import dataclasses
import io
import math
import pickle
import re
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import pytest

from aioverseer import Cron, Every, PidFile, Process, Recycle, Watch, framing, listen, ready
from aioverseer.core.errors import SpecError
from aioverseer.core.options.after import After
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.framing import Lines
from aioverseer.core.options.keywords import SpecOptions
from aioverseer.core.options.log import LogBridge, LogFile
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.roll import Roll
from aioverseer.core.options.spec import Spec
from aioverseer.core.options.stop import Stop
from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE, DEFAULT_STREAM_QUEUE_SIZE

SECRET = "hunter2"


class BytesPath:
    """A path of bytes, as ``os.PathLike[bytes]`` is."""

    def __repr__(self) -> str:  # part of a test's name, which must be the same in every process
        return "BytesPath()"

    def __fspath__(self) -> bytes:
        return b"/srv"


BYTES_PATH: Any = BytesPath()

DEFAULTS: dict[str, Any] = {
    "cwd": None,
    "env": None,
    "extra_env": {},
    "stdin": None,
    "pty": False,
    "window_size": (80, 24),
    "output": "read",
    "stdout": None,
    "stderr": None,
    "buffered": False,
    "streaming": False,
    "merge_stderr": False,
    "framing": Lines(),
    "encoding": "utf-8",
    "errors": "replace",
    "line_limit": DEFAULT_LINE_BUFFER_SIZE,
    "queue_size": DEFAULT_STREAM_QUEUE_SIZE,
    "drain_timeout": 0.5,
    "leftovers": "kill",
    "main_pid": None,
    "containment": None,
    "memory_max": None,
    "pids_max": None,
    "cpu_max": None,
    "user": None,
    "extra_groups": (),
    "umask": None,
    "nice": None,
    "rlimits": {},
    "no_new_privileges": False,
    "oom_score_adj": None,
    "cpus": (),
    "io_class": None,
    "ambient_capabilities": (),
    "delay_start": 0.0,
    "max_runtime": None,
    "schedule": None,
    "stop": Stop(),
    "prepare": None,
    "cleanup": None,
    "reload": None,
    "restart": Restart(),
    "recycle": None,
    "watch": None,
    "ready": None,
    "ready_timeout": 30.0,
    "alive": None,
    "roll": None,
    "after": (),
    "critical": False,
    "on_give_up": "leave",
    "group": "",
    "significant": False,
    "log": None,
    "instances": None,
    "port": None,
    "listen": {},
    "on_demand": False,
}

GOOD: dict[str, list[Any]] = {
    # option: values that it takes; a pair in a Kept is (given, kept) where the two differ
    "cwd": [None, "/srv", "relative", ("Path", Path("/srv"), "/srv")],
    "env": [None, {}, {"A": "1", "B": ""}, ("frozen", OrderedDict(A="1"), MappingProxyType({"A": "1"}))],
    "extra_env": [{}, {"PATH": "/bin", "é": "ü=\n"}],
    "stdin": [None, "pipe", "inherit", "", "some text", b"\xff\0", Path("/etc/hosts"), PurePosixPath("x")],
    "pty": [True, False],
    "window_size": [(1, 1), (65535, 65535)],
    "output": ["inherit", "null", sys.stderr],
    "stdout": [None, "read", "inherit", "null", sys.stderr],
    "stderr": [None, "read", "inherit", "null", sys.stderr],
    "buffered": [True, False],
    "streaming": [True, False],
    "merge_stderr": [True, False],
    "framing": [framing.lines(), framing.chunks(), framing.content_length()],
    "encoding": [None, "utf-8", "latin-1", "ascii", "utf-16", "shift_jis", "UTF8"],
    "errors": ["replace", "ignore", "backslashreplace", "surrogateescape"],
    "line_limit": [16, 10**9],
    "queue_size": [1, 10**9],
    "drain_timeout": [0.0, 0.25, ("whole", 3, 3.0)],
    "leftovers": ["kill", "keep", "report"],
    "main_pid": [None, "notify", PidFile("/run/db.pid"), PidFile(Path("db.pid"))],
    "containment": [None, "auto", "basic", "guarded", "strict"],
    "memory_max": [None, 4096, 1 << 40],
    "pids_max": [None, 1, 500],
    "cpu_max": [None, 0.01, 1, 2.5],
    "user": [None, "www-data", "www-data:adm", 0, 65534, "1000:1000"],
    "extra_groups": [("adm", 4), ("list", ["adm"], ("adm",)), ("generator", iter([0, "x"]), (0, "x"))],
    "umask": [None, 0, 0o022, 0o777],
    "nice": [None, -20, 0, 19],
    "rlimits": [{}, {"nofile": 1024}, {"core": 0, "as": -1, "cpu": (5, 5), "stack": (5, -1), "data": (-1, -1)}],
    "no_new_privileges": [True, False],
    "oom_score_adj": [None, -1000, 0, 1000],
    "cpus": [("list", [1, 0], (0, 1)), ("list", range(2), (0, 1))],
    "io_class": [None, "idle", "realtime", "best-effort:7"],
    "ambient_capabilities": [("list", ["CAP_KILL"], ("kill",)), ("list", ["net_raw"], ("net_raw",))],
    "delay_start": [0.0, 2.5, ("whole", 1, 1.0)],
    "max_runtime": [None, 0.5, ("whole", 1, 1.0)],
    "schedule": [None, Cron("@daily"), Every(5)],
    "stop": [Stop(signal.SIGINT, 3), Stop(steps=[(9, 1)], scope="leader")],
    "prepare": [None, print, ("list", ["initdb", Path("x")], ("initdb", "x"))],
    "cleanup": [None, print, ("list", ["rm", "x"], ("rm", "x"))],
    "reload": [None, signal.SIGHUP, "notify", ("list", ["nginx", Path("x")], ("nginx", "x"))],
    "restart": [Restart("never"), Restart("always", max_restarts=None)],
    "recycle": [None, Recycle(age=60), Recycle(memory=1 << 20, hold=0, spread=0)],
    "watch": [None, Watch("src"), Watch("a", Path("b"), include="*.py", exclude=["x"], debounce=0)],
    "ready": [None, ready.tcp(80), ready.line("up") & ready.fd() | ready.notify()],
    "ready_timeout": [None, 0.0, 2.5, ("whole", 5, 5.0)],
    "alive": [None, Alive(ready.tcp(80)), Alive(ready.notify(), every=1, action="mark")],
    "roll": [None, Roll(), Roll(surge="25%", unavailable=1, on_failure="pause")],
    "after": [
        (),
        ("list", "db2", (After("db2"),)),
        ("list", ["x", After("y", "started")], (After("x"), After("y", "started"))),
        ("list", {"x": "success", "y": "finished"}, (After("x", "success"), After("y", "finished"))),
    ],
    "critical": [True, False],
    "on_give_up": ["leave", "stop", "end", print],
    "group": ["", "web"],
    "significant": [False],
    "log": [None, (), (LogFile("x.log"), LogBridge())],
    "instances": [None, 0, 1, 1000],
    "port": [None, range(9000, 9100), range(1, 65536)],
    "listen": [{}, {"http": listen.tcp(8000)}],
    "on_demand": [False],
}

BAD: dict[str, list[Any]] = {
    # option: values that it refuses
    "cwd": ["", "a\0b", b"/srv", 5, BYTES_PATH, True],
    "pty": [1, None],
    "window_size": [(0, 1), (80,), 80, (80, 65536), "80x24"],
    "output": ["pipe", "", None, 1, True],
    "stdout": ["pipe", "", 1, True, Path("out.log")],
    "stderr": ["pipe", "", 1, True, io.BytesIO()],
    "buffered": [1, 0, None, "yes"],
    "streaming": [1, None, "no"],
    "merge_stderr": [1, None],
    "framing": ["lines", 1, None],
    "encoding": ["", "utf-9", "a\0b", "\ud800", 5, b"utf-8", "hex", "rot13", "base64", "undefined", "idna"],
    "errors": ["", "strict", "sometimes", "a\0b", "xmlcharrefreplace", "surrogatepass", None, 5],
    "line_limit": [15, 0, -1, True, 64.0, "64", None],
    "queue_size": [0, -1, True, 1.5, "1", None, math.inf],
    "drain_timeout": [-0.1, math.inf, 10**400, True, "1", None],
    "leftovers": ["burn", None, 1],
    "main_pid": ["", "/run/db.pid", Path("/run/db.pid"), True, 1],
    "containment": ["", "none", 1, True],
    "memory_max": [0, -1, 4095, True, 1e9, "1G"],
    "pids_max": [0, -1, True, 1.5, "5"],
    "cpu_max": [0, 0.001, -1, True, math.inf, math.nan, "1"],
    "user": ["", ":adm", "www:", "a:b:c", "a\0b", -1, True, 1.5, b"root", ("a", "b")],
    "umask": [-1, 0o1000, True, "022", 1.0],
    "nice": [-21, 20, True, "5", 1.0],
    "no_new_privileges": [1, None, "yes"],
    "oom_score_adj": [-1001, 1001, True, "5", 1.0],
    "cpus": [2, 1.5, "0-3", True, None],
    "io_class": ["low", 3, "idle:1", "realtime:8"],
    "ambient_capabilities": ["kill", 5, None],
    "delay_start": [-1, math.inf, 10**400, True, "1", None],
    "max_runtime": [-1, 0, math.inf, True, "1"],
    "schedule": ["@daily", 5, Every],
    "stop": [None, Stop, signal.SIGTERM, 5, "SIGTERM"],
    "prepare": ["initdb -D x", 5, True, [], [""], ["~/x"], b"x"],
    "cleanup": ["rm x", 5, True, [], [""], ["~/x"]],
    "reload": ["SIGHUP", "nginx -s reload", 0, 65, True, [], [""], ["~/x"]],
    "restart": [None, Restart, "always", True],
    "recycle": [60, True, "1h"],
    "watch": ["src", True, Path("src")],
    "ready": [
        True,
        "tcp:80",
        80,
        ready.tcp,
        Alive(ready.tcp(80)),
        ready.tcp("{port}"),
        ready.fd() | ready.tcp("{port}"),
    ],
    "ready_timeout": [-1, math.inf, True, "1"],
    "alive": [True, 10, Alive, ready.tcp(80), Alive(ready.tcp("80{index}"))],
    "roll": [True, 1, "rollback", Roll],
    "after": [5, None, [5], {"x": "running"}, ["x", "x"], "db"],
    "critical": [1, None, "yes"],
    "on_give_up": [None, "restart", 1],
    "group": [None, 5, b"web"],
    "significant": [1, None, "yes", True],
    "log": ["x.log", 5, [None], LogFile, [LogFile("x"), LogFile("x", keep=3)], (LogFile("{id}-{run}.log"),)],
    "instances": [-1, True, 1.5, "4"],
    "port": [8000, True, range(0), range(5), range(65530, 65540), range(80, 0, -1), "9000-9100", (9000, 9100)],
    "on_demand": [1, None, "yes", True],
    "listen": [8000, {"": listen.tcp(8000)}, {"http": 8000}, [listen.tcp(8000)]],
}


def spec(**options: Any) -> Spec:
    """A Spec of a service called ``db``."""
    return Spec.of("db", ["redis-server"], **options)


def given_and_kept(value: Any) -> tuple[Any, Any]:
    """The two of a value in the table GOOD."""
    if isinstance(value, tuple) and len(value) == 3 and value[0] in ("Path", "frozen", "whole", "list", "generator"):
        return value[1], value[2]
    return value, value


def cases(table: dict[str, list[Any]]) -> list[Any]:
    """A parameter set for each option and value, readable in a report."""
    return [
        pytest.param(option, value, id=re.sub(" at 0x[0-9a-f]+", "", ascii(f"{option}={value!r}"))[:60])
        for option, values in table.items()
        for value in values
    ]


# --- the options as a whole


def test_the_options_are_the_fields() -> None:
    """All but id and argv, in the same order; and the tables above have them all."""
    fields = [field.name for field in dataclasses.fields(Spec)]
    assert ["id", "argv", *SpecOptions.__annotations__] == fields
    assert list(DEFAULTS) == list(GOOD) == fields[2:]
    assert set() == set(DEFAULTS) - set(BAD) - {"env", "extra_env", "stdin", "extra_groups", "rlimits"}


def test_the_defaults_are_those_of_the_design() -> None:
    """For a service: nothing buffered, nothing streamed, everything inherited."""
    made = Spec(id="db", argv=("redis-server",))
    assert {"id": "db", "argv": ("redis-server",)} | DEFAULTS == {
        field.name: getattr(made, field.name) for field in dataclasses.fields(Spec)
    }


@pytest.mark.parametrize(("option", "value"), cases(GOOD))
def test_valid_values_are_kept(option: str, value: Any) -> None:
    """Narrowed to one type where several are taken."""
    given, kept = given_and_kept(value)
    made = spec(**{option: given})
    assert (kept, type(kept) if type(kept) is not dict else MappingProxyType) == (
        getattr(made, option),
        type(getattr(made, option)),
    )
    assert spec() == dataclasses.replace(made, **{option: DEFAULTS[option]})


@pytest.mark.parametrize(("option", "value"), cases(BAD))
def test_refused_values_are_named(option: str, value: Any) -> None:
    """The message names the service, the option and the value; the error has the last two as data."""
    for make in (spec, spec().updated, lambda **options: Spec(id="db", argv=("x",), **options)):
        with pytest.raises(SpecError) as caught:
            make(**{option: value})
        assert str(caught.value).startswith(f"service 'db': {option}={value!r} ")
        assert (option, value) == (caught.value.option, caught.value.value)


@pytest.mark.parametrize("output", ["inherit", "null"])
def test_ready_line_needs_output_that_is_read(output: Any) -> None:
    """Also as a part of a probe; other probes can."""
    assert spec(output=output, ready=ready.tcp(80)).ready == ready.tcp(80)
    for probe in (ready.line("up"), ready.tcp(80) | ready.line("up")):
        with pytest.raises(
            SpecError, match=rf"needs lines, and output='{output}' gives none: take another probe$"
        ) as it:
            spec(output=output, ready=probe)
        assert str(it.value).startswith("service 'db': ready=")


@pytest.mark.parametrize("option", ["drain_timeout", "delay_start"])
def test_nan_is_no_time(option: str) -> None:
    """It compares with nothing, so it needs a case of its own."""
    with pytest.raises(SpecError, match=rf"service 'db': {option}=nan is no time"):
        spec(**{option: math.nan})


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("restarts", "did you mean 'restart'?"),
        ("Env", "did you mean 'env'?"),
        ("buffer", "did you mean 'buffered'?"),
        ("colour", f"there are {', '.join(sorted(DEFAULTS))}"),
        ("id", "there are "),
        ("argv", "there are "),
    ],
)
def test_an_unknown_option_is_refused_with_a_suggestion(option: str, hint: str) -> None:
    """By name, before any value is looked at (B52)."""
    makes: list[Any] = [spec().updated]
    if option not in ("id", "argv"):
        makes.append(spec)
    for make in makes:
        with pytest.raises(SpecError, match=re.escape(f"service 'db': there is no option {option!r}; ")) as caught:
            make(**{option: 5, "nice": 99})
        assert hint in str(caught.value)
        assert (option, 5) == (caught.value.option, caught.value.value)


# --- id and argv


@pytest.mark.parametrize("id", ["db", "web-1", "ü", "a b", "a/b:c"])
def test_an_id_is_any_text(id: str) -> None:
    """Only what could not be read in a message is refused."""
    assert id == Spec(id=id, argv=("x",)).id


@pytest.mark.parametrize("id", ["", " ", " db", "db\n", "d\0b", 5, None, b"db"])
def test_an_invalid_id_is_refused(id: Any) -> None:
    """With the value."""
    makes: list[Callable[[], Spec]] = [lambda: Spec(id=id, argv=("x",)), lambda: Spec.of(id, ["x"])]
    for make in makes:
        with pytest.raises(SpecError, match=re.escape(f"id={id!r} is no name for a service")) as caught:
            make()
        assert ("id", id) == (caught.value.option, caught.value.value)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("ls",), ("ls",)),
        (["ls", "-l a", "*", "~", "$X", ""], ("ls", "-l a", "*", "~", "$X", "")),
        (iter(["ls", Path("/srv")]), ("ls", "/srv")),
        ([PurePosixPath("/bin/ls")], ("/bin/ls",)),
    ],
)
def test_arguments_are_taken_literally(argv: Any, expected: tuple[str, ...]) -> None:
    """No shell, no globbing; paths become text."""
    assert expected == Spec.of("db", argv).argv


@pytest.mark.parametrize(
    ("argv", "option", "value", "why"),
    [
        ([], "argv", [], "is empty: name the program"),
        ([""], "argv", [""], "is empty: name the program"),
        (["", "a"], "argv", ["", "a"], "is empty: name the program"),
        ("ls -l", "argv", "ls -l", "is one text"),
        (b"ls", "argv", b"ls", "is one text"),
        (None, "argv", None, "is no list"),
        (5, "argv", 5, "is no list"),
        (["a\0b"], "argv[0]", "a\0b", "holds a NUL"),
        (["ls", "a\0"], "argv[1]", "a\0", "holds a NUL"),
        (["ls", 5], "argv[1]", 5, "is of type int"),
        (["ls", "a", b"b"], "argv[2]", b"b", "is of type bytes"),
        ([None], "argv[0]", None, "is of type NoneType"),
        (["ls", ["-l"]], "argv[1]", ["-l"], "is of type list"),
        (["ls", BYTES_PATH], "argv[1]", BYTES_PATH, "is of type BytesPath"),
    ],
)
def test_an_invalid_command_is_refused(argv: Any, option: str, value: object, why: str) -> None:
    """With the place of the argument, and nothing dropped silently (B50, B52)."""
    makes: list[Callable[[], Spec]] = [lambda: Spec.of("db", argv), lambda: Spec(id="db", argv=argv)]
    for make in makes:
        with pytest.raises(SpecError, match=re.escape(f"service 'db': {option}={value!r} {why}")) as caught:
            make()
        assert (option, value) == (caught.value.option, caught.value.value)


# --- the input of a program may be a secret


@pytest.mark.parametrize("option", ["env", "extra_env"])
def test_no_value_of_the_environment_is_shown(option: str) -> None:
    """Not in the repr, whatever else is."""
    made = spec(**{option: {"TOKEN": SECRET}})
    assert "redis-server" in repr(made)
    assert SECRET not in repr(made)
    assert SECRET not in str(made)


@pytest.mark.parametrize("option", ["env", "extra_env"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"TOKEN": f"{SECRET}\0"}, "{option}['TOKEN'] holds a NUL: every value is a str without NUL"),
        (
            {"TOKEN": SECRET.encode()},
            "{option}['TOKEN'] is of type bytes: every value is a str without NUL; write os.fsdecode(...)",
        ),
        (
            {"TOKEN": None},
            (
                "{option}['TOKEN'] is of type NoneType: every value is a str without NUL"
                "; leave the variable out, or write '' for an empty one"
            ),
        ),
        (
            {"TOKEN": 5},
            (
                "{option}['TOKEN'] is of type int: every value is a str without NUL"
                "; write the number as a text, by str(...)"
            ),
        ),
        (
            {"TOKEN": True},
            (
                "{option}['TOKEN'] is of type bool: every value is a str without NUL"
                "; write the word that the program expects, such as '1'"
            ),
        ),
        ({f"TOKEN={SECRET}": SECRET}, "{option}='TOKEN=...' is no name of a variable"),
        ({"": SECRET}, "{option}='' is no name of a variable"),
        ({"A\0": SECRET}, "{option}='A\\x00' is no name of a variable"),
        ({5: SECRET}, "{option}=5 is no name of a variable"),
        (
            [f"TOKEN={SECRET}"],
            "{option}='list' is no mapping: pass a dict of names to texts, {option}={{'TOKEN': ...}}",
        ),
        (f"TOKEN={SECRET}", "{option}='str' is no mapping: pass a dict of names to texts, {option}={{'TOKEN': ...}}"),
    ],
    ids=str,
)
def test_no_value_of_the_environment_is_in_a_message(option: str, value: Any, expected: str) -> None:
    """The service, the option and the variable are named, the value is not, nor is it kept in the error."""
    with pytest.raises(SpecError) as caught:
        spec(**{option: value})
    assert f"service 'db': {expected.format(option=option)}" == str(caught.value)
    assert SECRET not in repr((caught.value.args, caught.value.option, caught.value.value))
    assert (None, True) == (caught.value.__cause__, caught.value.__context__ is None)


@pytest.mark.parametrize("value", ["db, cache", "db,cache", ["db, cache"]])
def test_names_in_one_text_are_refused(value: Any) -> None:
    """The message says how to write a list. A name with a blank is a name."""
    with pytest.raises(SpecError, match=re.escape("names are separate: write after=['db', 'cache']")):
        Spec.of("web", ("x",), after=value)
    assert "my db" == Spec.of("web", ("x",), after="my db").after[0].name


def test_there_is_no_none_in_extra_env() -> None:
    """``env=None`` inherits; there is nothing that ``extra_env=None`` could mean beside ``{}``."""
    with pytest.raises(SpecError, match="service 'db': extra_env='NoneType' is no mapping"):
        spec(extra_env=None)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stdin": 5}, "stdin is of type int: pass None,"),
        ({"stdin": bytearray(SECRET.encode())}, "stdin is of type bytearray: pass None,"),
        ({"stdin": [SECRET]}, "stdin is of type list: pass None,"),
        ({"stdin": f"{SECRET}é", "encoding": "ascii"}, "stdin cannot be encoded as ascii: pass bytes"),
        ({"stdin": f"{SECRET}\ud800"}, "stdin cannot be encoded as utf-8: pass bytes"),
        ({"stdin": f"{SECRET}\ud800", "encoding": None}, "stdin cannot be encoded as utf-8: pass bytes"),
        ({"stdin": Path("a\0b")}, r"stdin=PosixPath('a\x00b') is no path"),
        ({"stdin": BYTES_PATH}, "stdin="),
    ],
    ids=str,
)
def test_invalid_stdin_is_refused_and_not_shown(options: Any, expected: str) -> None:
    """At once, not in the middle of the run."""
    with pytest.raises(SpecError) as caught:
        spec(**options)
    assert str(caught.value).startswith(f"service 'db': {expected}")
    assert "stdin" == caught.value.option
    assert SECRET not in repr((str(caught.value), caught.value.value))
    assert SECRET not in repr(spec(stdin=SECRET))


# --- options that hold several values


@pytest.mark.parametrize(
    ("value", "shown", "why"),
    [
        ("adm", "adm", "is no list"),
        (4, 4, "is no list"),
        (None, None, "is no list"),
        (["adm", ""], "", "is no group"),
        ([-1], -1, "is no group"),
        ([True], True, "is no group"),
        (["a\0b"], "a\0b", "is no group"),
        (["adm,root"], "adm,root", "is no group"),  # the comma separates names in setpriv's argument
        ([1.5], 1.5, "is no group"),
        ([b"adm"], b"adm", "is no group"),
    ],
)
def test_an_invalid_group_is_refused(value: Any, shown: object, why: str) -> None:
    """The value in the message is the one among several that is wrong."""
    with pytest.raises(SpecError, match=re.escape(f"service 'db': extra_groups={shown!r} {why}")) as caught:
        spec(extra_groups=value)
    assert ("extra_groups", shown) == (caught.value.option, caught.value.value)


@pytest.mark.parametrize(
    ("value", "option", "shown", "why"),
    [
        (None, "rlimits", None, "is no mapping"),
        ([("nofile", 5)], "rlimits", [("nofile", 5)], "is no mapping"),
        ({"files": 5}, "rlimits", "files", "is no resource: there are as, core,"),
        ({7: 5}, "rlimits", 7, "is no resource"),
        *(
            ({"cpu": 1, "nofile": bad}, "rlimits['nofile']", bad, "is no limit")
            for bad in (-2, 1.5, "5", None, True, [5, 5], (), (5,), (5, 5, 5), (5, True), ("5", 5), (5, 4), (-1, 5))
        ),
    ],
)
def test_an_invalid_limit_is_refused(value: Any, option: str, shown: object, why: str) -> None:
    """With the name of the resource, and what there is."""
    with pytest.raises(SpecError, match=re.escape(f"service 'db': {option}={shown!r} {why}")) as caught:
        spec(rlimits=value)
    assert (option, shown) == (caught.value.option, caught.value.value)


# --- a value


def test_updated_differs_in_these_options_only() -> None:
    """The old one stays as it is; the type too."""

    class Mine(Spec):
        __slots__ = ()

    before = Mine.of("db", ["x"], nice=3, env={"A": "1"})
    after = before.updated(nice=None, delay_start=2)
    assert (Mine, None, 2.0, {"A": "1"}) == (type(after), after.nice, after.delay_start, after.env)
    assert (3, 0.0) == (before.nice, before.delay_start)
    assert before == after.updated(nice=3, delay_start=0)
    assert before == before.updated()


def test_equal_specs_are_one_key() -> None:
    """However they were written; the environment counts, though it is no part of the hash."""
    options: dict[str, Any] = {"rlimits": {"cpu": 1}, "stdin": Path("x"), "extra_groups": ["adm"]}
    one = spec(env={"A": "1"}, cwd="/srv", **options)
    same = spec(env=MappingProxyType({"A": "1"}), cwd=Path("/srv"), **options)
    other = spec(env={"A": "2"}, cwd="/srv", **options)
    assert one == same
    assert one != other
    assert hash(one) == hash(same)
    assert {one, other} == {one, same, other}


@pytest.mark.parametrize("option", ["env", "extra_env", "rlimits"])
def test_nothing_can_change_afterwards(option: str) -> None:
    """Neither a field, nor a mapping, nor by the mapping that was given."""
    name = "cpu" if option == "rlimits" else "A"
    given: dict[str, Any] = {name: 1 if option == "rlimits" else "1"}
    made = spec(**{option: given})
    expected = dict(given)
    given.clear()
    assert expected == getattr(made, option)
    with pytest.raises(TypeError):
        getattr(made, option)[name] = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.id = "other"  # type: ignore[misc]  # that it is refused is the point


def test_a_spec_can_be_pickled() -> None:
    """With views of dicts, limits and probes; what comes back is the same, and checked."""
    spec = Spec.of(
        "web", ["web"], extra_env={"A": "b"}, rlimits={"nofile": 10}, ready=ready.tcp(80), stop=Stop(timeout=3)
    )
    again = pickle.loads(pickle.dumps(spec))
    assert (spec, {"A": "b"}) == (again, dict(again.extra_env))
    with pytest.raises(TypeError):
        again.extra_env["A"] = "c"


@pytest.mark.parametrize("encoding", ["utf-16", "utf_16_be", "utf-32", "utf-7", "iso2022_jp", "iso-2022-kr", "hz"])
def test_a_handler_that_raises_for_broken_bytes_is_refused(encoding: str) -> None:
    """It would end the reading in the middle of the output; with other encodings, and for bytes, it serves."""
    with pytest.raises(SpecError, match=f"errors='surrogateescape' raises for broken bytes of encoding='{encoding}'"):
        spec(encoding=encoding, errors="surrogateescape")
    assert "backslashreplace" == spec(encoding=encoding, errors="backslashreplace").errors
    for other in ("utf-8", "latin-1", "shift_jis", "gb18030", None):
        assert "surrogateescape" == spec(encoding=other, errors="surrogateescape").errors


@pytest.mark.parametrize(("value", "meant"), [(22, "0o022"), (27, "0o027"), (77, "0o077"), (177, "0o177")])
def test_a_decimal_umask_is_refused(value: int, meant: str) -> None:
    with pytest.raises(SpecError, match=rf"umask={value} is a decimal number, .*: write umask={meant}"):
        spec(umask=value)
    assert int(meant, 8) == spec(umask=int(meant, 8)).umask


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["sleep 60"], "pass 'sleep', '60'"),
        (["python -m", "app"], "pass 'python', '-m'"),
        (["echo 'a b'"], "pass 'echo', 'a b'"),
        (["echo 'a"], "pass 'echo', \"'a\""),
        (["ls | wc"], "pass 'sh', '-c', 'ls | wc' for a shell"),
    ],
)
def test_a_command_as_one_text_is_refused(argv: list[str], hint: str) -> None:
    """A path may have blanks; a name on PATH has none."""
    with pytest.raises(SpecError) as caught:
        Spec.of("db", argv)
    assert str(caught.value).endswith(f"is one text, and arguments are separate: {hint}")
    assert ("/opt/my app/run",) == Spec.of("db", ["/opt/my app/run"]).argv


@pytest.mark.parametrize(("option", "value"), [("line_limit", 15), ("queue_size", 0), ("memory_max", 4095)])
def test_a_number_below_the_least_is_too_low(option: str, value: int) -> None:
    with pytest.raises(SpecError, match=rf"{option}={value} is too low: .*, {value + 1} or more"):
        spec(**{option: value})


def test_process_takes_options_of_services_that_ask_for_nothing() -> None:
    """Code that passes the same options to both need not leave them out."""
    assert "true" == Process("true", log=None, after=(), critical=False).spec.argv[0]

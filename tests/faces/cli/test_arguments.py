"""The arguments of the command line as values."""

from __future__ import annotations

import math
import signal
from typing import get_args

import pytest

import aioverseer
from aioverseer import Restart, Spec, Step, Stop
from aioverseer.cli import main
from aioverseer.cli.arguments import (
    FORMATS,
    MAX_RESTARTS,
    STOP_TIMEOUT,
    TARGETS,
    WHEN,
    WHENS,
    WITHIN,
    PolicyOptions,
    RunOptions,
    UpOptions,
    When,
)
from aioverseer.cli.main import PERFORMERS, imported
from aioverseer.cli.parser import commands, parse
from aioverseer.cli.policy import with_policy
from aioverseer.config import convert, export
from tests.faces.cli.conftest import modules_after


@pytest.mark.parametrize(("verb", "rest"), [("up", []), ("run", ["--", "x"])])
def test_unlimited_restarts_have_a_word(verb: str, rest: list[str]) -> None:
    """Both commands know it."""
    parsed = parse([verb, "--max-restarts", "unlimited", *rest])
    assert isinstance(parsed, UpOptions | RunOptions)
    assert math.inf == parsed.policy.max_restarts


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--stop-timeout", "soon", "'soon' is no time: pass seconds, 0 or more"),
        ("--stop-timeout", "inf", "'inf' is no time: pass seconds, 0 or more"),
        ("--stop-timeout", "nan", "'nan' is no time: pass seconds, 0 or more"),
        ("--stop-signal", "SIGNOTHING", "'SIGNOTHING' is no signal: pass a name, for example SIGINT or INT"),
    ],
)
def test_invalid_value_is_named(option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to pass."""
    with pytest.raises(SystemExit) as caught:
        parse(["run", option, value, "--", "x"])
    assert (2, True) == (caught.value.code, words in capsys.readouterr().err)


def test_defaults_in_the_help_are_those_of_the_library() -> None:
    """The help has copies, because an import of the classes takes longer than the help."""
    usual, first = Restart(), Stop().steps[0]
    assert (WHEN, MAX_RESTARTS, WITHIN) == (usual.when, usual.max_restarts, usual.within)
    assert WHENS == get_args(When) == tuple(Restart(when).when for when in WHENS)
    assert first.timeout == STOP_TIMEOUT


def test_kinds_in_the_help_are_those_of_the_library() -> None:
    """They are copies, too."""
    assert (tuple(convert.KINDS), tuple(export.KINDS)) == (FORMATS, TARGETS)


def test_policy_changes_only_what_the_command_line_says() -> None:
    """A ladder keeps its first signal, its time and its scope."""
    ladder = Stop(steps=[Stop.close_stdin(1), (signal.SIGINT, 60), (signal.SIGTERM, 3)], scope="leader")
    spec = Spec.of("a", ["a"], stop=ladder, stdin="pipe", restart=Restart("always", max_restarts=3))
    assert with_policy(spec, PolicyOptions()) == spec
    shorter = with_policy(spec, PolicyOptions(stop_timeout=2, max_restarts=1))
    assert shorter.stop == Stop(steps=[(signal.SIGINT, 2)], scope="leader")
    assert shorter.restart == Restart("always", max_restarts=1)
    other = with_policy(spec, PolicyOptions(stop_signal=signal.SIGQUIT, when="never", max_restarts=math.inf))
    assert other.stop.steps[0] == Step(signal.SIGQUIT, 60)
    assert other.restart == Restart("never", max_restarts=None)


@pytest.mark.parametrize("steps", [[(signal.SIGKILL, 2)], [Stop.close_stdin(1)]])
def test_time_of_a_ladder_without_a_signal_is_that_of_the_usual_one(steps: list[tuple[int, float]]) -> None:
    """SIGKILL asks for nothing."""
    spec = with_policy(Spec.of("a", ["a"], stdin="pipe", stop=Stop(steps=steps)), PolicyOptions(stop_timeout=2))
    assert spec.stop.steps[0] == Step(signal.SIGTERM, 2)


def test_each_command_is_performed() -> None:
    """The table names a function for the arguments that each command returns."""
    callbacks = [command.callback for command in commands.commands.values()]
    assert set(PERFORMERS) == {callback.__annotations__["return"] for callback in callbacks if callback}
    assert all(callable(imported(name)) for name in PERFORMERS.values())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["up", "--help"], ["completion", "zsh"]])
def test_help_and_version_import_no_event_loop(words: list[str]) -> None:
    """The classes of the library are not imported either: a completion asks at each press of a key."""
    modules = modules_after(words)
    assert "aioverseer.cli.parser" in modules
    assert set() == modules & {"asyncio", "anyio", "yaml", "tomllib", "aioverseer.core.options.spec"}


@pytest.mark.parametrize(("missing", "extra"), [("click", "cli"), ("dotenv", "cli")])
def test_missing_package_names_its_extra(
    missing: str, extra: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In place of a traceback."""

    def refuse(_name: str) -> None:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr("importlib.import_module", refuse)
    assert main(["--version"]) == 2
    assert capfd.readouterr().err == (
        f"aioverseer: the command line needs the package {missing}: pip install 'aioverseer[{extra}]'\n"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_of_a_shell_completes_the_command(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The script calls the command with this variable."""
    assert main(["completion", shell]) == 0
    assert f"_AIOVERSEER_COMPLETE={shell}_complete" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("aioverseer u", "plain,up"),
        ("aioverseer up --max", "plain,--max-restarts"),
        ("aioverseer run --na", "plain,--name"),
    ],
)
def test_word_is_completed(
    words: str, expected: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As bash asks for it."""
    monkeypatch.setenv("_AIOVERSEER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert (0, f"{expected}\n") == (caught.value.code, capfd.readouterr().out)


def test_version_is_that_of_the_package(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--version"])
    assert capfd.readouterr().out == f"aioverseer {aioverseer.__version__}\n"


def test_time_may_have_a_unit() -> None:
    """The command line takes the times of files."""
    parsed = parse(["up", "--stop-timeout", "1m 5s"])
    assert isinstance(parsed, UpOptions)
    assert 65.0 == parsed.policy.stop_timeout

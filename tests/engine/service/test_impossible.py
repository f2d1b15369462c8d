"""A program that cannot be started gives up at once; one that vanishes while it is supervised is tried again."""

from __future__ import annotations

import asyncio
import errno
import os
import pathlib
import sys
from typing import Any

import pytest

from aioverseer import (
    Alive,
    Backoff,
    CriticalServiceEnded,
    Event,
    GaveUp,
    NotReady,
    Overseer,
    Process,
    Restart,
    Service,
    SpawnError,
    SpecError,
    State,
    ThreadedOverseer,
    ready,
)
from aioverseer.testing import FakeChild, ManualClock, ScriptedLauncher
from tests.support.programs import limit

GONE = FakeChild().cannot_start(number=errno.ENOENT)
PATIENT = Restart("always", max_restarts=None, backoff=Backoff(min=60, max=60))
"""A second attempt would take longer than any of these tests."""


def script(folder: pathlib.Path, name: str, text: str, mode: int = 0o755) -> str:
    """Write a file and return its path."""
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def causes(error: BaseException | None) -> list[type[BaseException]]:
    """Return the types along ``__cause__``."""
    found: list[type[BaseException]] = []
    while error is not None:
        found.append(type(error))
        error = error.__cause__
    return found


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    "kind", ["no name", "no path", "not executable", "folder", "no cwd", "file as cwd", "in a file", "broken #!", "CR"]
)
async def test_programs_that_cannot_be_end_fatal_at_once(kind: str, wrapped: bool, tmp_path: pathlib.Path) -> None:
    """A wrapper such as that of ``umask`` changes nothing. The first cause is the error of the system."""
    plain = script(tmp_path, "plain", "no program", 0o644)
    cases: dict[str, tuple[str, dict[str, Any], type[OSError]]] = {
        "no name": ("no-such-program", {}, FileNotFoundError),
        "no path": (str(tmp_path / "none"), {}, FileNotFoundError),
        "not executable": (plain, {}, PermissionError),
        "folder": (str(tmp_path), {}, PermissionError),
        "no cwd": ("true", {"cwd": str(tmp_path / "none")}, FileNotFoundError),
        "file as cwd": ("true", {"cwd": plain}, NotADirectoryError),
        "in a file": (f"{plain}/program", {}, NotADirectoryError),
        "broken #!": (script(tmp_path, "broken", "#!/no/such/interpreter -x\n"), {}, FileNotFoundError),
        "CR": (script(tmp_path, "windows", "#!/bin/sh\r\nexit 0\r\n"), {}, FileNotFoundError),
    }
    program, options, expected = cases[kind]
    if wrapped:
        options["umask"] = 0o22
    async with limit(20), Overseer() as overseer:
        service = overseer.add("web", program, **options, restart=PATIENT)
        with pytest.raises(NotReady, match="gave up: service 'web' cannot be started") as caught:
            await service.start()
        assert [NotReady, GaveUp, SpawnError, expected] == causes(caught.value)
        status = service.status()
        assert (State.FATAL, 0, None) == (status.state, status.restarts, status.pid)


async def test_a_file_that_is_no_program_ends_fatal_at_once(tmp_path: pathlib.Path) -> None:
    """The system cannot execute it."""
    async with limit(20), Overseer() as overseer:
        overseer.add("web", script(tmp_path, "broken", "\x7fbroken"), restart=PATIENT)
        status = await overseer.supervise("web")
        error = status.error
        assert isinstance(error, GaveUp)
        assert isinstance(error.__cause__, SpawnError)
        assert errno.ENOEXEC == error.__cause__.errno


@pytest.mark.parametrize("option", ["ready", "alive"])
@pytest.mark.parametrize("path", ["no-such-check", "./no-such-check"])
async def test_a_missing_command_of_a_probe_ends_fatal_at_once(option: str, path: str, tmp_path: pathlib.Path) -> None:
    """The program is not started, as nothing could tell whether it is ready or alive."""
    started = tmp_path / "started"
    program = script(tmp_path, "serve", f"#!/bin/sh\n: > {started}\nexec sleep 100\n")
    probe = ready.command(path, "-q")
    options: dict[str, Any] = {option: probe if option == "ready" else Alive(probe)}
    async with limit(20), Overseer() as overseer:
        service = overseer.add("web", program, cwd=tmp_path, restart=PATIENT, **options)
        with pytest.raises(NotReady, match=f"cannot be started with {option}=command {path}: there is no ") as caught:
            await service.start()
        assert [NotReady, GaveUp, SpawnError, FileNotFoundError] == causes(caught.value)
        assert (os.environ["PATH"] if path == "no-such-check" else str(tmp_path / path)) in str(caught.value)
        assert (State.FATAL, 0, False) == (service.state, service.status().restarts, started.exists())
        with pytest.raises(SpawnError, match="no-such-check"):
            await Process(program, cwd=tmp_path, **options).start()


async def test_a_command_that_another_probe_can_replace_may_be_missing(tmp_path: pathlib.Path) -> None:
    """``|`` needs one of both."""
    program = script(tmp_path, "serve", "#!/bin/sh\necho up\nexec sleep 100\n")
    async with limit(20), Overseer() as overseer:
        probe = ready.command("no-such-check") | ready.line("up")
        service = overseer.add("web", program, ready=probe, restart=PATIENT)
        await service.start()
        assert State.RUNNING is service.state


async def test_the_missing_program_is_named_before_that_of_its_probe() -> None:
    """Both come with one package, and the program matters more."""
    async with limit(20), Overseer() as overseer:
        service = overseer.add("db", "no-such-server", ready=ready.command("no-such-check"), restart=PATIENT)
        with pytest.raises(NotReady, match="no program 'no-such-server' on PATH"):
            await service.start()


async def test_a_program_that_vanishes_is_tried_again(tmp_path: pathlib.Path) -> None:
    """A deployment removes the file of a running program, and puts another one there."""
    program = script(tmp_path, "serve", '#!/bin/sh\nrm -- "$0"\nexit 1\n')
    policy = Restart(max_restarts=50, backoff=Backoff(min=0.01, max=0.01))
    async with limit(20), Overseer() as overseer:
        events = overseer.events()
        service = overseer.add("web", program, restart=policy)
        await service.start()
        failed: list[Event] = []
        while len(failed) < 3:
            event = await anext(events)
            if event.state is State.BACKOFF and "there is no file" in event.reason:
                failed.append(event)
        script(tmp_path, "serve", "#!/bin/sh\nexec sleep 100\n")
        await service.ready()
        assert State.RUNNING is service.state


async def test_another_program_by_mistake_gives_up_at_once(tmp_path: pathlib.Path) -> None:
    """``update`` to a folder that is not there: the program has run, and will not run from there."""
    async with limit(20), Overseer() as overseer:
        service = overseer.add("web", "sleep", "100", restart=PATIENT)
        await service.start()
        overseer.update("web", cwd=str(tmp_path / "none"))
        with pytest.raises(NotReady, match="gave up: "):
            await service.restart()


def scripted(**scripts: FakeChild) -> tuple[Overseer, ManualClock]:
    """Return an overseer whose time and children belong to the test."""
    clock = ManualClock()
    return Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild(), by_id=scripts)), clock


async def test_it_is_handled_like_a_giving_up() -> None:
    """``on_give_up`` is called with the error, whose cause is that of the spawn; another service goes on."""
    overseer, clock = scripted(db=GONE)
    given: list[GaveUp] = []
    async with limit(), overseer:
        overseer.add("db", "db", on_give_up=given.append)
        other = await overseer.add("web", "web").start()
        status = await overseer.supervise("db")
        assert [status.error] == given
        assert [GaveUp, SpawnError] == causes(given[0])
        assert "see why it ends" not in str(given[0])
        assert (State.RUNNING, 0.0) == (other.state, clock.now())


async def test_a_critical_one_ends_the_block() -> None:
    """At once."""
    overseer, clock = scripted(db=GONE)
    with pytest.raises(CriticalServiceEnded, match="gave up: ") as caught:  # noqa: PT012  # the block raises
        async with limit(), overseer:
            overseer.add("db", "db", critical=True)
            overseer.add("web", "web")
            await overseer.supervise_all()
    assert [CriticalServiceEnded, GaveUp, SpawnError] == causes(caught.value)
    assert 0.0 == clock.now()


async def test_start_all_raises_at_once() -> None:
    """A dependent and a slow service do not delay it."""
    overseer, clock = scripted(db=GONE)
    async with limit(), overseer:
        overseer.add("slow", "slow", delay_start=50)
        overseer.add("db", "db")
        overseer.add("web", "web", after="db")
        with pytest.raises(NotReady, match="there is no such program"):
            await overseer.start_all()
        assert 0.0 == clock.now()


async def test_a_shortage_is_left_to_the_policy() -> None:
    """The default error of a scripted child is one."""
    overseer, clock = scripted(db=FakeChild().cannot_start())
    async with limit(), overseer:
        service = overseer.add("db", "db", restart=Restart(backoff=Backoff(min=1, max=1)))
        start = asyncio.ensure_future(service.start())
        await clock.advance(2.5)
        assert (State.BACKOFF, 2) == (service.state, service.restarts)
        await clock.advance(10)
        with pytest.raises(NotReady, match="gave up: the system has no room for another process, and its 5 restarts"):
            await start


def test_it_is_the_same_for_threads(tmp_path: pathlib.Path) -> None:
    """The error comes without a wait."""
    with ThreadedOverseer() as overseer:
        service = overseer.add("web", str(tmp_path / "none"), restart=PATIENT, ready=ready.line("up"))
        with pytest.raises(NotReady, match="gave up: ") as caught:
            service.start()
        assert [NotReady, GaveUp, SpawnError, FileNotFoundError] == causes(caught.value)


# --- groups


def grouped(overseer: Overseer, outer: str = "") -> tuple[Service, Service]:
    """Add two members of a group; the second one cannot be started."""
    if outer:
        overseer.group(outer, "one_for_all", restart=PATIENT)
    overseer.group("g", "one_for_all", restart=PATIENT, parent=outer)
    return overseer.add("a", "a", group="g"), overseer.add("b", "b", group="g")


@pytest.mark.parametrize("outer", ["", "all"])
async def test_the_group_ends_at_once(outer: str) -> None:
    """And the groups around it: no restart of a group brings the program back."""
    overseer, clock = scripted(b=GONE)
    async with limit(), overseer:
        a, b = grouped(overseer, outer)
        statuses = await overseer.supervise_all()
        assert (State.INTERRUPT, State.FATAL) == (a.state, b.state)
        assert "group 'g' gave up: 'b' there is no such program" in b.why().reason
        assert [GaveUp, SpawnError] == causes(statuses["b"].error)
        assert overseer.group_status(outer or "g").gave_up
        assert 0.0 == clock.now()


async def test_a_member_that_ran_before_is_left_to_the_budget_of_the_group() -> None:
    """Its file may be back for the next restart."""
    clock = ManualClock()
    launcher = ScriptedLauncher(clock, FakeChild(), by_id={"b": [FakeChild().runs(1).exits(1), GONE, FakeChild()]})
    async with limit(), Overseer(clock=clock, launcher=launcher) as overseer:
        overseer.group("g", "one_for_all", restart=Restart(backoff=Backoff(min=1, max=1)))
        a, b = overseer.add("a", "a", group="g"), overseer.add("b", "b", group="g")
        await overseer.start_all()
        await clock.advance(10)
        assert (State.RUNNING, State.RUNNING) == (a.state, b.state)
        assert [State.FINISHED, State.FATAL] == [status.state for status in b.history]


# --- messages


async def message_of(program: str, **options: Any) -> str:
    """Return the error of a start."""
    async with limit(20), Overseer(containment="basic") as overseer:  # no guardian: one test replaces the interpreter
        service = overseer.add("web", program, restart=Restart("never"), **options)
        with pytest.raises(NotReady) as caught:
            await service.start()
        return str(caught.value.__cause__)


async def test_the_message_names_the_path_that_was_searched() -> None:
    """It may be that of ``extra_env``."""
    text = await message_of("no-such-program", extra_env={"PATH": "/opt/none:/usr/none"})
    assert "(PATH is /opt/none:/usr/none)" in text
    text = await message_of("no-such-program", env={"PATH": ""})
    assert "(PATH is empty)" in text


async def test_the_message_names_a_program_of_the_virtual_environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of this Python, or one beside the project."""
    venv = tmp_path / "env" / "bin"
    venv.mkdir(parents=True)
    wanted = script(venv, "gunicorn-of-ours", "#!/bin/sh\n")
    monkeypatch.setattr(sys, "executable", str(venv / "python"))
    assert f"did you mean the virtual environment's {wanted!r}?" in await message_of("gunicorn-of-ours")
    project = tmp_path / "project"
    (project / ".venv" / "bin").mkdir(parents=True)
    wanted = script(project / ".venv" / "bin", "uvicorn-of-ours", "#!/bin/sh\n")
    text = await message_of("uvicorn-of-ours", cwd=str(project))
    assert f"did you mean the virtual environment's {wanted!r}?" in text


async def test_the_message_names_a_program_of_the_working_folder(tmp_path: pathlib.Path) -> None:
    """A name without a folder is searched on PATH alone."""
    wanted = script(tmp_path, "serve-of-ours", "#!/bin/sh\n")
    assert f"did you mean {wanted!r}?" in await message_of("serve-of-ours", cwd=str(tmp_path))


async def test_the_message_names_the_path_of_the_host() -> None:
    """``env`` replaces the environment, PATH included."""
    assert "the PATH of the host, which env= or extra_env= replaces, has" in await message_of("sh", env={"PATH": "/x"})


async def test_the_message_names_the_folder_of_a_relative_path(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts from ``cwd``; the file may be in the folder of the host."""
    folder = tmp_path / "app"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    text = await message_of("./serve", cwd="app")
    assert f"it was looked for as '{folder}/serve'" in text
    wanted = script(tmp_path, "serve", "#!/bin/sh\n")
    assert f"did you mean {wanted!r}? A relative path starts from cwd" in await message_of("./serve", cwd="app")


async def test_the_message_names_what_a_shell_would_expand() -> None:
    """There is no shell, and the mistake shows at the definition."""
    with pytest.raises(SpecError, match="begins with ~, which only a shell expands"):
        await message_of("~/bin/serve")


async def test_the_message_names_the_interpreter(tmp_path: pathlib.Path) -> None:
    """And line ends of Windows, which are part of its name."""
    assert "'/no/such'" in await message_of(script(tmp_path, "a", "#! /no/such -x\n"))
    assert "line end of Windows" in await message_of(script(tmp_path, "b", "#!/bin/sh\r\n"))
    assert os.path.exists(tmp_path / "b")

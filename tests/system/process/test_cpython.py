"""A spawn without Popen has the same children and the same errors as one with it."""

from __future__ import annotations

import os
import pathlib
import signal
import sys

import pytest

from aioverseer._system.host.environment import Environment, inherited
from aioverseer._system.process import cpython as module
from aioverseer._system.process.cpython import environment_of_host, start_program
from aioverseer._system.process.spawn import SpawnRequest

only_stable = pytest.mark.skipif(module._fork_exec is None, reason="a Popen does it with this Python")
VARIABLES = {b"PATH": b"/usr/bin:/bin", b"WORD": b"caf\xc3\xa9", b"BYTES": b"\xff"}
HERE = Environment(VARIABLES, [b"%b=%b" % item for item in VARIABLES.items()])


@pytest.fixture(params=[pytest.param("ours", marks=only_stable), "Popen"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way that the test takes."""
    if request.param == "Popen":
        monkeypatch.setattr(module, "_fork_exec", None)
    return str(request.param)


@pytest.fixture
def script(tmp_path: pathlib.Path) -> pathlib.Path:
    """An executable file."""
    file = tmp_path / "script"
    file.write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
    file.chmod(0o755)
    return file


def run(
    *words: str,
    executable: str | None = None,
    cwd: str | None = None,
    env: Environment = HERE,
    pass_fds: tuple[int, ...] = (),
) -> tuple[int, str]:
    """Run a program, and return its exit code and output."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        pid = start_program(
            SpawnRequest(
                name="test",
                words=words,
                executable=executable or words[0],
                stdin=null,
                stdout=write,
                stderr=write,
                cwd=cwd,
                environment=env,
                pass_fds=pass_fds,
            )
        )
        os.close(write)
        write = -1
        with open(read, encoding="utf-8", errors="surrogateescape", closefd=False) as file:
            text = file.read()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text
    finally:
        for descriptor in (read, write, null):
            if descriptor >= 0:
                os.close(descriptor)


def python(code: str, **options: object) -> str:
    """The output of a child that runs this code."""
    code, text = run(sys.executable, "-I", "-S", "-c", code, **options)  # type: ignore[assignment,arg-type]  # passed on
    assert not code, text
    return text.strip()


def test_a_child_leads_its_session_and_has_what_it_was_given() -> None:
    """It gets its environment to the byte, its folder and its three descriptors."""
    assert "True" == python("import os; print(os.getsid(0) == os.getpgid(0) == os.getpid())")
    code, text = run("/usr/bin/env", cwd="/")
    assert 0 == code
    assert {"PATH=/usr/bin:/bin", "WORD=café", "BYTES=\udcff"} == set(text.splitlines())
    assert "/" == python("import os; print(os.getcwd())", cwd="/")
    assert "[0, 1, 2, 3]" == python("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")


def test_only_named_descriptors_are_passed_on() -> None:
    """An inheritable descriptor of the host is closed in the child."""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        # The descriptor that lists the folder is closed by then.
        named = """
import os
names = os.listdir("/proc/self/fd")
print(*[name for name in names if int(name) > 2 and os.path.exists("/proc/self/fd/" + name)])
"""
        assert "" == python(named)
        assert str(write) == python(named, pass_fds=(write,))
    finally:
        os.close(read)
        os.close(write)


def test_signals_that_python_ignores_have_their_defaults() -> None:
    """A program in a pipeline must die of SIGPIPE."""
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    code, _ = run("/bin/sh", "-c", "kill -PIPE $$")
    assert -signal.SIGPIPE == code


def test_a_program_without_a_path_is_found_along_path() -> None:
    """The PATH is that of its environment."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    pid = start_program(SpawnRequest("test", ["true"], None, null, null, null, None, HERE, ()))
    os.close(null)
    assert 0 == os.waitpid(pid, 0)[1]


@pytest.mark.parametrize("what", ["missing", "no right", "no program", "no interpreter", "no folder", "too long"])
def test_errors_name_what_is_wrong(what: str, script: pathlib.Path) -> None:
    """The error has the number and the file or folder, and leaves no child and no descriptor."""
    before = os.listdir("/proc/self/fd")
    cwd, words = None, [str(script)]
    match what:
        case "missing":
            script.unlink()
        case "no right":
            script.chmod(0o600)
        case "no program":
            script.write_text("no first line", encoding="ascii")
        case "no interpreter":
            script.write_text("#!/no/such/shell\n", encoding="ascii")
        case "no folder":
            cwd = str(script.parent / "folder")
        case _:
            words = [str(script), "x" * (1 << 18)]
    expected = {"missing": 2, "no right": 13, "no program": 8, "no interpreter": 2, "no folder": 2, "too long": 7}[what]
    with pytest.raises(OSError) as raised:
        run(*words, cwd=cwd)
    assert expected == raised.value.errno
    assert (cwd or str(script)) == raised.value.filename
    assert before == os.listdir("/proc/self/fd")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("way", [pytest.param("ours", marks=only_stable)], indirect=True)  # Popen leaves the child
def test_a_signal_handler_that_raises_during_a_spawn_leaves_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default handler of SIGINT raises."""
    real = os.read

    def struck(descriptor: int, count: int) -> bytes:
        real(descriptor, count)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "read", struck)
    with pytest.raises(KeyboardInterrupt):
        run("/bin/sleep", "100")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_audit_hooks_see_the_spawn() -> None:
    """It has the event of Popen."""
    heard: list[str] = []
    hearing = True

    def hear(event: str, args: tuple[object, ...]) -> None:
        if hearing and event == "subprocess.Popen":
            heard.append(str(args[0]))

    sys.addaudithook(hear)
    try:
        run("/bin/true")
    finally:
        hearing = False
    assert ["/bin/true"] == heard


def of_host(more: bytes) -> Environment:
    """The environment of the host with a marker of at most four bytes."""
    return inherited(environment_of_host(), b"MARK", more, longest=4)


def test_a_change_of_the_environment_reaches_the_next_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoded environment of an earlier child is not reused, and the marker is appended to its variable."""
    of_host(b"1")
    monkeypatch.setenv("AN_OLD_ONE", "1")
    assert b"AN_OLD_ONE=1" in of_host(b"2").entries
    monkeypatch.setenv("AN_OLD_ONE", "2")
    monkeypatch.setenv("MARK", "of the host")
    changed = of_host(b"2")
    assert b"AN_OLD_ONE=2" in changed.entries
    assert [b"MARK=host2"] == [entry for entry in changed.entries if entry.startswith(b"MARK=")]
    monkeypatch.delenv("AN_OLD_ONE")
    assert b"AN_OLD_ONE" not in of_host(b"2").variables
    both = of_host(b"2")
    assert {**os.environb, b"MARK": b"host2"} == both.variables
    assert sorted(b"%b=%b" % item for item in {**os.environb, b"MARK": b"host2"}.items()) == sorted(both.entries)

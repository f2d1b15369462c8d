"""``aioverseer check``: the order of a file, its warnings and its problems."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aioverseer.cli import main
from aioverseer.cli.host_lookups import is_found

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that writes an aioverseer.toml into a new working folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "aioverseer.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


SHOP = """
name = "shop"
[services.db]
command = ["true"]
ready = { tcp = 6399 }
[services.web]
command = ["true"]
after = "db"
instances = 2
[profiles.big.services.web]
instances = 9
"""


def test_order_is_drawn(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """From the file that is found, with its name and its services."""
    write(SHOP)
    assert main(["check"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        "shop: 2 services in aioverseer.toml",
        "db          ready by tcp 127.0.0.1:6399",
        "└─ web (2)  after db is ready",
    ]
    assert err == ""


def test_profiles_and_settings_count(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """``web=4`` is a short word for a setting, and the last one."""
    path = write(SHOP)
    for words, count in ((["--profile", "big"], 9), (["-s", "web.instances=3"], 3), (["web=4"], 4)):
        assert main(["check", str(path), *words]) == 0
        assert f"web ({count})" in capfd.readouterr().out


def test_count_that_is_no_number_is_refused(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write(SHOP)
    with pytest.raises(SystemExit):
        main(["check", "web=two"])
    assert "web=two: there is no such file, and a count is a number, such as web=2" in capfd.readouterr().err


def test_graph_is_all_of_standard_output(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write(SHOP)
    assert main(["check", "--graph"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "flowchart TD",
        '    s0["db"]',
        '    s1["web (2)"]',
        "    s0 -->|ready| s1",
    ]


def test_warnings_are_no_problems_unless_they_are_asked_to_be(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    write('[services.web]\ncommand = ["no-such-program", "--port", "80"]\nenv = { TOKEN = "secret" }\n')
    for words, code in (([], 0), (["--strict"], 1)):
        assert main(["check", *words]) == code
        out, err = capfd.readouterr()
        assert [line.partition(": ")[0] for line in err.splitlines()] == ["warning", "warning", "2 warnings"]
        assert "web: env is the whole environment, and has no PATH" in err
        assert "web: there is no program 'no-such-program' on PATH" in err
        assert "secret" not in out + err


def test_all_problems_are_shown_with_their_lines(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of a wrong file; nothing is drawn. Paths below the working folder are short."""
    write('[services.web]\ncommand = ["true"]\nredy = { tcp = 1 }\n[services.db]\ncommand = ["true"]\nnice = 99\n')
    assert main(["check"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.partition(": ")[0] for line in lines if line.startswith("aioverseer.toml")] == [
        "aioverseer.toml:3:1",
        "aioverseer.toml:6:8",
    ]
    assert lines[1:3] == ["    3 | redy = { tcp = 1 }", "      | ^^^^"]
    assert lines[-1] == "2 problems"


def test_program_is_looked_up_as_it_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the PATH that it has, below the folder in which it runs."""
    program = tmp_path / "bin" / "serve"
    program.parent.mkdir()
    program.touch(mode=0o755)
    assert is_found("serve", None, str(program.parent))
    assert is_found("./bin/serve", str(tmp_path), None)
    assert is_found(str(program), "/", "")
    assert is_found("sh", None, "")  # the system's own folders
    monkeypatch.setenv("PATH", f"/nowhere{os.pathsep}{program.parent}")
    assert is_found("serve", None, None)
    assert not is_found("serve", str(tmp_path), "/nowhere")
    assert not is_found("./bin/serve", "/", None)
    assert not is_found("./bin", str(tmp_path), None)


def test_thousand_services_are_checked_in_half_a_second(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """Imports apart, which the first call has made. The limit is twice as high, as tests run beside each other."""
    tables = (
        f'[services.s{n}]\ncommand = ["true", "{n}"]\nready = {{ tcp = {10_000 + n} }}\n'
        f"{f'after = [{chr(34)}s{n - 1}{chr(34)}]' if n % 10 else ''}\n"
        for n in range(1000)
    )
    path = write("".join(tables))
    assert main(["check", "--graph", "-f", str(path)]) == 0
    begun = time.process_time()
    assert main(["check"]) == 0
    assert time.process_time() - begun < 1.0
    assert len(capfd.readouterr().out.splitlines()) > 2000


def test_file_without_services_is_fine_and_cannot_run(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """All may be those of a profile."""
    write('name = "shop"\n[services.web]\ncommand = ["true"]\nprofiles = ["dev"]\n')
    assert main(["check"]) == 0
    assert capfd.readouterr().out == "shop: 0 services in aioverseer.toml\n"
    assert main(["up"]) == 2
    assert "there is no service to run in aioverseer.toml: " in capfd.readouterr().err


def test_keys_that_another_supervisor_has_are_reported(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """They are no warnings: the file is fine, and some of it means something else here."""
    path = write("[program:web]\ncommand=true\npriority=10\nautostart=true\n", "supervisord.conf")
    assert main(["check", "--strict", str(path)]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{path.parent.name}: 1 service in supervisord.conf\n")
    assert "program:web: priority: changed: " in err
    assert "autostart" not in err


@pytest.mark.parametrize("command", ["check", "convert"])
def test_file_that_includes_a_missing_one_is_taken(
    command: str, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    """Supervisord ignores it, and most units have no socket."""
    supervisord = write("[include]\nfiles = none.ini\n[program:web]\ncommand=true\n", "supervisord.conf")
    unit = write("[Service]\nExecStart=/bin/true\n", "web.service")
    assert [main([command, str(path)]) for path in (supervisord, unit)] == [0, 0]
    assert capfd.readouterr().out


def test_folder_of_units_is_one_file(write: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With their drop-in files; a folder without units is refused."""
    (tmp_path / "web.service.d").mkdir()
    write("[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nExecStart=/bin/true\n", "web.service")
    write("[Service]\nExecStart=/bin/true\nType=notify\n", "db.service")
    write("[Service]\nNice=3\n", "web.service.d/nice.conf")
    assert main(["check", "."]) == 0
    first, *tree = capfd.readouterr().out.splitlines()
    assert first.endswith(": 2 services in db.service, web.service, web.service.d/nice.conf")
    assert [line.partition("  ")[0] for line in tree] == ["db", "└─ web"]
    assert main(["check", str(tmp_path / "web.service.d")]) == 2
    assert "is a folder; name the file in it" in capfd.readouterr().err


def test_control_has_no_effect_yet(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """The section is valid, and ``up`` says the same."""
    write('control = { metrics = true }\n[services.a]\ncommand = ["true"]\n')
    for words, code in ((["check"], 0), (["check", "--strict"], 1), (["up"], 0)):
        assert main(words) == code
        assert "control has no effect" in capfd.readouterr().err
    write('control = {}\n[services.a]\ncommand = ["true"]\n')
    assert main(["check", "--strict"]) == 0
    assert capfd.readouterr().err == ""


def test_no_value_of_the_environment_is_shown(
    write: Write, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    write('[services.web]\ncommand = ["${TOKEN}"]\ncwd = "/${TOKEN}"\nready = { line = "${TOKEN}" }\n')
    assert main(["check"]) == 0
    shown = "".join(capfd.readouterr())
    assert "ready by a line with '${TOKEN}'" in shown
    assert "there is no program '${TOKEN}'" in shown
    assert "there is no folder '/${TOKEN}'" in shown
    assert "hunter2" not in shown

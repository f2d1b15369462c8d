"""The reader of supervisord's files, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from aioverseer import Spec, SpecError
from aioverseer.config import ConfigError
from aioverseer.config.convert import Conversion, read

PROGRAM = (
    "command process_name numprocs numprocs_start priority autostart autorestart startsecs startretries exitcodes "
    "stopsignal stopwaitsecs stopasgroup killasgroup user redirect_stderr stdout_logfile stdout_logfile_maxbytes "
    "stdout_logfile_backups stdout_capture_maxbytes stdout_events_enabled stdout_syslog stderr_logfile "
    "stderr_logfile_maxbytes stderr_logfile_backups stderr_capture_maxbytes stderr_events_enabled stderr_syslog "
    "environment directory umask serverurl"
).split()
"""Keys of a program, as http://supervisord.org/configuration.html of version 4.3 lists them."""
MAIN = (
    "logfile logfile_maxbytes logfile_backups loglevel pidfile umask nodaemon silent minfds minprocs nocleanup "
    "childlogdir user directory strip_ansi environment identifier"
).split()
FASTCGI = "socket socket_owner socket_mode socket_backlog".split()
LISTENER = "events buffer_size result_handler".split()
VALUES = {
    "command": "web --port %(process_num)d",
    "process_name": "%(program_name)s_%(process_num)d",
    "numprocs": "2",
    "autorestart": "unexpected",
    "exitcodes": "0,2",
    "stopsignal": "QUIT",
    "environment": 'A="1"',
    "umask": "022",
    "socket": "unix:///run/web.sock",
    "socket_mode": "0660",
    "directory": "/srv",
    "user": "web",
    "stdout_logfile": "/log/out",
    "stderr_logfile": "/log/err",
    "events": "TICK_5",
    "result_handler": "a:b",
    "serverurl": "AUTO",
    "identifier": "shop",
}
"""A value for each key of which a number, which is also true or false, is none."""


def section(name: str, keys: list[str]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {VALUES.get(key, '1')}\n" for key in keys)


def converted(text: str, path: str = "supervisord.conf") -> Conversion:
    return read(text, kind="supervisord", path=path)


def service(text: str, name: str = "web") -> dict[str, Any]:
    options: dict[str, Any] = converted(text).data["services"][name]
    return options


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("program:web", PROGRAM),
        ("supervisord", MAIN),
        ("fcgi-program:web", PROGRAM + FASTCGI),
        ("eventlistener:web", PROGRAM + LISTENER),
        ("unix_http_server", ["file", "chmod", "chown", "username", "password"]),
        ("inet_http_server", ["port", "username", "password"]),
        ("supervisorctl", ["serverurl", "username", "password", "prompt", "history_file"]),
        ("rpcinterface:x", ["supervisor.rpcinterface_factory", "retries"]),
        ("include", ["files"]),
    ],
)
def test_every_key_of_the_manual_has_one_note_and_is_known(name: str, keys: list[str]) -> None:
    conversion = converted(section(name, keys))
    noted = [note.key for note in conversion.notes if note.place == name]
    assert sorted(noted) == sorted(keys)
    assert not [note for note in conversion.notes if "no such key" in note.text]


def test_a_key_that_supervisord_does_not_have_is_lost() -> None:
    (note,) = converted("[program:web]\ncommand = web\nautorestrat = true\n").of("lost")
    assert str(note) == "program:web: autorestrat: lost: supervisord has no such key here, and ignores it"


def test_a_program_without_further_keys_does_what_supervisord_does_with_it() -> None:
    data = converted("[program:web]\ncommand = web -v\n").data
    assert data["services"] == {"web": {"command": ["web", "-v"]}}
    spec = Spec.from_dict({"id": "web", **data["services"]["web"], **data["defaults"]})
    assert spec.restart.max_restarts == 3
    assert [spec.restart.backoff.for_attempt(n) for n in range(3)] == [1, 2, 3]
    assert spec.stop.scope == "leader"


@pytest.mark.parametrize(("retries", "seconds"), [(1, 0), (3, 1), (5, 10), (9, 3), (100, 1)])
def test_a_program_that_never_starts_spends_its_budget(retries: int, seconds: int) -> None:
    restart = service(f"[program:web]\ncommand=web\nstartretries={retries}\nstartsecs={seconds}\n")["restart"]
    backoff = restart["backoff"]
    delays = [min(backoff["min"] * 2**attempt, backoff["max"]) for attempt in range(retries)]
    # Each run lasts shorter than startsecs. The first restart still counts when the last run ends.
    assert restart["max_restarts"] == retries
    assert sum(delays[1:]) + retries * seconds <= restart["within"]


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ("redirect_stderr=true\nstdout_logfile=/dev/stdout", {"merge_stderr": True, "stdout": "inherit"}),
        ("stdout_logfile=/dev/fd/1\nstderr_logfile=/dev/fd/2", {"output": "inherit"}),
        ("stdout_logfile=/dev/stdout\nstderr_logfile=/dev/stdout", {"merge_stderr": True, "stdout": "inherit"}),
        ("stdout_logfile=/dev/null", {"stdout": "null"}),
        ("stdout_logfile=/dev/null\nredirect_stderr=yes", {"output": "null"}),
        ("stdout_logfile=NONE\nstderr_logfile=AUTO", {}),
        ("stdout_logfile=a\nstdout_logfile_maxbytes=0", {"log": {"path": "a", "stream": "stdout"}}),
        (
            "stdout_logfile=a{b}\nstdout_logfile_maxbytes=1KB\nstdout_logfile_backups=0\nredirect_stderr=on",
            {"merge_stderr": True, "log": {"path": "a{{b}}", "max_bytes": 1024, "keep": 1}},
        ),
        (
            "stdout_logfile=a\nstderr_logfile=a\nstdout_logfile_maxbytes=0\nstderr_logfile_maxbytes=0",
            {"log": {"path": "a"}},
        ),
        (
            "stdout_logfile=/dev/stdout\nstderr_logfile=/log/%(program_name)s.err\nstderr_logfile_maxbytes=2MB",
            {
                "stdout": "inherit",
                "log": {"path": "/log/web.err", "max_bytes": 2 << 20, "keep": 10, "stream": "stderr"},
            },
        ),
    ],
)
def test_output_goes_where_supervisord_sends_it(lines: str, options: dict[str, Any]) -> None:
    given = service(f"[program:web]\ncommand=web\n{lines}\n")
    assert given == {"command": ["web"], **options}
    Spec.from_dict({"id": "web", **given})


def test_plain_numbers_become_instances() -> None:
    given = service(
        "[program:web]\ncommand=web --id=%(process_num)d\nnumprocs=3\nprocess_name=%(program_name)s_%(process_num)02d\n"
    )
    assert given == {"command": ["web", "--id={index}"], "instances": 3}


@pytest.mark.parametrize("lines", ["command=web 80%(process_num)02d", "command=web %(process_num)d\nnumprocs_start=7"])
def test_numbers_in_another_form_become_services(lines: str) -> None:
    services = converted(f"[program:web]\n{lines}\nnumprocs=2\nprocess_name=w%(process_num)d\n").data["services"]
    first = 7 if "start" in lines else 0
    assert list(services) == [f"w{first}", f"w{first + 1}"]
    assert [options["group"] for options in services.values()] == ["web", "web"]
    assert [options["command"][1] for options in services.values()] == (["7", "8"] if first else ["8000", "8001"])


def test_priorities_become_an_order_of_starts() -> None:
    text = "".join(
        f"[program:{name}]\ncommand={name}\npriority={priority}\nautostart={autostart}\n"
        for name, priority, autostart in (("b", 2, "true"), ("a", 1, "true"), ("c", 2, "true"), ("off", 1, "false"))
    )
    services = converted(text + "[program:last]\ncommand=last\n").data["services"]
    soft = {"until": "started", "hard": False}
    assert {name: options.get("after") for name, options in services.items()} == {
        "b": {"a": soft},
        "a": None,
        "c": {"a": soft},
        "off": None,
        "last": {"b": soft, "c": soft},
    }
    assert services["off"]["enabled"] is False


def test_the_priority_of_a_group_goes_before_that_of_its_programs() -> None:
    text = "[program:a]\ncommand=a\npriority=1\n[program:b]\ncommand=b\npriority=5\n[group:g]\nprograms=a\npriority=9\n"
    services = converted(text).data["services"]
    assert services["a"]["after"] == {"b": {"until": "started", "hard": False}}
    assert services["a"]["group"] == "g"


def test_variables_are_those_of_the_environment() -> None:
    given = service(
        "[program:web]\ncommand=web %(ENV_A)s {id} ${A} $A\n"
        'environment=PATH="/opt:$PATH",B="%(ENV_A)s,100%%",C=\'x y\'\n'
    )
    assert given["command"] == ["web", "${A}", "{{id}}", "$${A}", "$A"]
    assert given["extra_env"] == {"PATH": "/opt:${PATH}", "B": "${A},100%", "C": "x y"}


def test_variables_that_the_file_sets_are_those_of_expressions() -> None:
    text = (
        '[program:web]\ncommand=web %(ENV_A)s %(ENV_B)s %(ENV_C)s\nenvironment=A="two words",D="%(ENV_A)s"\n'
        "stdout_logfile=/log/%(ENV_B)s\nstdout_logfile_maxbytes=0\n"
        '[supervisord]\nenvironment=A=all,B="%(ENV_A)s"\n'
    )
    given = service(text)
    assert given["command"] == ["web", "two", "words", "${A}", "${C}"]
    assert given["extra_env"] == {"A": "two words", "D": "all"}
    assert given["log"]["path"] == "/log/${A}"


def test_included_files_are_part_of_the_file() -> None:
    files = {"conf.d/web.conf": "[program:web]\ncommand=web %(here)s\n", "conf.d/db.conf": "[program:db]\ncommand=db\n"}
    asked: list[str] = []

    def included(pattern: str) -> dict[str, str]:
        asked.append(pattern)
        return files

    text = "[supervisord]\n[include]\nfiles = %(here)s/conf.d/*.conf\n"
    conversion = read(text, kind="supervisord", path="/etc/supervisord.conf", included=included)
    assert asked == ["/etc/conf.d/*.conf"]
    assert list(conversion.data["services"]) == ["web", "db"]
    assert conversion.data["services"]["web"]["command"] == ["web", "/etc"]


def test_all_problems_come_at_once_and_no_value_is_shown() -> None:
    text = (
        '[program:web]\nautorestart=perhaps\nstopsignal=SIGSECRET\nenvironment=A="ok",B=\'SECRET\n'
        "[program:db]\ncommand=db 'SECRET\nnumprocs=many\nstdout_logfile=%(nothing)s\n"
        "[group:all]\nprograms=web,cache\n"
    )
    with pytest.raises(ConfigError) as caught:
        converted(text)
    assert [problem.path for problem in caught.value.problems] == [
        ("group:all", "programs"),
        ("program:web", "autorestart"),
        ("program:web", "stopsignal"),
        ("program:web", "environment"),
        ("program:web", "command"),
        ("program:db", "numprocs"),
        ("program:db", "command"),
        ("program:db", "stdout_logfile"),
    ]
    assert "SECRET" not in str(caught.value)


def test_a_line_that_is_none_is_shown_by_its_number() -> None:
    with pytest.raises(SpecError) as caught:
        converted("[program:web]\ncommand=web\n= SECRET\n")
    assert str(caught.value) == "supervisord.conf:3: this line is no section, no comment and no 'key = value'"
    with pytest.raises(SpecError, match=r"supervisord\.conf:1: this line stands before the first section"):
        converted("command=web\n")


def test_the_socket_of_a_fastcgi_program_is_its_standard_input() -> None:
    given = service("[fcgi-program:web]\ncommand=php-cgi -q\nsocket=tcp://127.0.0.1:9000\nnumprocs=2\n")
    assert given["listen"] == {"fastcgi": {"tcp": 9000, "host": "127.0.0.1"}}
    assert given["command"] == ["sh", "-c", 'exec "$0" "$@" <&3 3<&-', "php-cgi", "-q"]

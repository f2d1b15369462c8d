"""The reader of circus' files, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from aioverseer import Spec
from aioverseer.config import ConfigError
from aioverseer.config.convert import Conversion, read

WATCHER = (
    "cmd args shell shell_args working_dir uid gid copy_env copy_path warmup_delay autostart numprocesses "
    "rlimit_nofile stderr_stream.class stderr_stream.filename stdout_stream.class stdout_stream.filename "
    "stdout_stream.max_bytes stdout_stream.backup_count stdout_stream.time_format stdin_socket close_child_stdin "
    "close_child_stdout close_child_stderr send_hup stop_signal stop_children max_retry graceful_timeout priority "
    "singleton use_sockets max_age max_age_variance on_demand hooks.before_start hooks.after_start "
    "hooks.before_spawn hooks.after_spawn hooks.before_stop hooks.after_stop hooks.before_signal hooks.after_signal "
    "hooks.before_reap hooks.after_reap hooks.extended_stats virtualenv virtualenv_py_ver respawn use_papa"
).split()
"""Keys of a watcher, as the page "Configuration" of circus 0.19 lists them."""
MAIN = (
    "endpoint endpoint_owner pubsub_endpoint papa_endpoint statsd stats_endpoint statsd_close_outputs check_delay "
    "include include_dir stream_backend warmup_delay httpd httpd_host httpd_port httpd_close_outputs debug debug_gc "
    "pidfile umask loglevel logoutput loggerconfig"
).split()
SOCKET = "host port family type interface path umask replace so_reuseport blocking use_papa".split()
VALUES = {
    "cmd": "web",
    "working_dir": "/srv",
    "uid": "web",
    "stop_signal": "QUIT",
    "stdin_socket": "web",
    "umask": "022",
    "stdout_stream.class": "FileStream",
    "stderr_stream.class": "FileStream",
    "family": "AF_UNIX",
    "type": "SOCK_STREAM",
    "path": "/run/web.sock",
    "host": "127.0.0.1",
}
"""A value for each key of which a number, which is also true or false, is none."""
TIMED = ("class = TimedRotatingFileStream", "filename = a", "rotate_when = H", "rotate_interval = 6")
SHARED = "[socket:web]\nport = 8080\n"


def section(name: str, keys: list[str]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {VALUES.get(key, '1')}\n" for key in keys)


def converted(text: str) -> Conversion:
    return read(text, kind="circus", path="circus.ini")


def service(lines: str, rest: str = "") -> dict[str, Any]:
    options: dict[str, Any] = converted(f"[watcher:web]\ncopy_env = true\n{lines}\n{rest}").data["services"]["web"]
    return options


@pytest.mark.parametrize(
    ("name", "keys", "rest"),
    [
        ("watcher:web", WATCHER, SHARED),
        ("circus", MAIN, ""),
        ("socket:web", SOCKET, ""),
        ("plugin:web", ["use", "anything"], ""),
        ("env", ["A", "b"], "[watcher:web]\ncmd = web\n"),
        ("env:web", ["A", "b"], "[watcher:web]\ncmd = web\n"),
    ],
)
def test_every_key_of_the_manual_has_one_note_and_is_known(name: str, keys: list[str], rest: str) -> None:
    conversion = converted(section(name, keys) + rest)
    noted = [note.key for note in conversion.notes if note.place == name]
    assert sorted(noted) == sorted(keys)
    assert not [note for note in conversion.notes if "no such key" in note.text]


def test_a_watcher_without_further_keys_does_what_circus_does_with_it() -> None:
    data = converted("[watcher:web]\ncmd = web\nargs = -v 'two words'\n").data
    assert data["services"] == {"web": {"command": ["web", "-v", "two words"], "env": {}}}
    assert data["defaults"]["restart"]["when"] == "always"
    assert data["defaults"]["restart"]["max_restarts"] == "none"
    assert data["defaults"]["stop"] == {"timeout": 30, "scope": "leader"}


def test_variables_of_the_file_and_of_the_environment_are_told_apart() -> None:
    given = service(
        "cmd = $(CIRCUS.ENV.HOME)/web $(circus.env.stage) ((circus.env.user)) $(circus.cwd) {id}\nworking_dir = /srv",
        "[env]\nSTAGE = prod\nPATH = /opt:$PATH\n[env:w*]\nSTAGE = test\n[env:db]\nSTAGE = no\n",
    )
    assert given["command"] == ["${HOME}/web", "test", "${USER}", "$(circus.cwd)", "{{id}}"]
    assert given["extra_env"] == {"STAGE": "test", "PATH": "/opt:${PATH:-}"}


def test_the_number_of_a_worker_begins_with_zero() -> None:
    assert service("cmd = web $(circus.wid)")["command"] == ["web", "1"]
    given = service("cmd = web $(circus.wid)\nnumprocesses = 2\nstdout_stream.filename = {}-$(circus.wid).log")
    assert given["command"] == ["web", "{index}"]
    assert given["log"] == {"path": "{{}}-{index}.log", "stream": "stdout"}


def test_named_sockets_are_held_and_their_descriptors_replaced() -> None:
    sockets = "[socket:Web]\nport = 8080\n[socket:admin]\npath = /run/admin.sock\numask = 007\n"
    given = service(
        "cmd = web --fd $(circus.sockets.web) --bind unix:$(circus.sockets.admin)\nuse_sockets = true", sockets
    )
    assert given["command"] == ["web", "--fd", "{fd.web}", "--bind", "unix:{fd.admin}"]
    assert given["listen"] == {
        "web": {"tcp": 8080, "host": "localhost"},
        "admin": {"unix": "/run/admin.sock", "mode": "770"},
    }
    Spec.from_dict({"id": "web", **given})


def test_a_port_from_the_environment_is_part_of_an_address() -> None:
    given = service("cmd = web\nuse_sockets = true", "[socket:web]\nport = $(circus.env.PORT)\n")
    assert given["listen"] == {"web": "127.0.0.1:${PORT}"}


def test_a_socket_as_input_is_the_third_descriptor_of_a_shell() -> None:
    given = service("cmd = web\nstdin_socket = web", SHARED)
    assert given["command"] == ["sh", "-c", 'exec "$0" "$@" <&3 3<&-', "web"]
    assert given["listen"] == {"web": {"tcp": 8080, "host": "localhost"}}


def test_the_age_of_a_process_is_between_the_same_bounds() -> None:
    recycle = service("cmd = web\nmax_age = 3600\nmax_age_variance = 600")["recycle"]
    assert recycle["age"] * (1 - recycle["spread"]) == pytest.approx(3600, abs=1)
    assert recycle["age"] * (1 + recycle["spread"]) == pytest.approx(4200, abs=1)
    Spec.from_dict({"id": "web", "command": ["web"], "recycle": recycle})


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ("close_child_stdout = true\nclose_child_stderr = true", {"output": "null"}),
        ("close_child_stdin = false", {"stdin": "inherit"}),
        ("uid = web\ngid = www", {"user": "web:www"}),
        ("uid = 33", {"user": 33}),
        ("rlimit_NOFILE = 500\nrlimit_core =", {"rlimits": {"nofile": 500, "core": -1}}),
        ("send_hup = 1", {"reload": "SIGHUP"}),
        ("respawn = off", {"restart": {"when": "never"}}),
        ("stop_signal = 3\nstop_children = true", {"stop": {"signal": "SIGQUIT", "scope": "tree"}}),
        (
            "\n".join(f"stderr_stream.{each}" for each in TIMED),
            {"log": {"path": "a", "stream": "stderr", "every": 21_600}},
        ),
        ("numprocesses = 0", {"enabled": False}),
        ("numprocesses = 4\nsingleton = true", {}),
    ],
)
def test_keys_become_options(lines: str, options: dict[str, Any]) -> None:
    given = service(f"cmd = web\n{lines}")
    assert given == {"command": ["web"], **options}
    Spec.from_dict({"id": "web", **{name: value for name, value in given.items() if name != "enabled"}})


def test_the_highest_priority_starts_first() -> None:
    text = "".join(
        f"[watcher:{name}]\ncmd = {name}\npriority = {rank}\n" for name, rank in (("a", 1), ("b", 5), ("c", 1))
    )
    services = converted(text).data["services"]
    soft = {"b": {"until": "started", "hard": False}}
    assert [services[name].get("after") for name in "abc"] == [soft, None, soft]


def test_included_files_add_to_the_file_and_replace_nothing() -> None:
    asked: list[str] = []

    def included(pattern: str) -> dict[str, str]:
        asked.append(pattern)
        return {"more/db.ini": "[watcher:web]\ncmd = other\nnumprocesses = 2\n[watcher:db]\ncmd = db\n"}

    text = "[circus]\ninclude_dir = more\n[watcher:web]\ncmd = web\n"
    services = read(text, kind="circus", path="circus.ini", included=included).data["services"]
    assert asked == ["more/*.ini"]
    assert services["web"]["command"] == ["web"]
    assert services["web"]["instances"] == 2
    assert list(services) == ["web", "db"]


def test_all_problems_come_at_once() -> None:
    text = (
        "[watcher:web]\nnumprocesses = many\nstop_signal = SIGNONE\n"
        "[watcher:db]\ncmd = db 'x\ngraceful_timeout = soon\n"
    )
    with pytest.raises(ConfigError) as caught:
        converted(text)
    assert [problem.path for problem in caught.value.problems] == [
        ("watcher:web", "numprocesses"),
        ("watcher:web", "cmd"),
        ("watcher:web", "stop_signal"),
        ("watcher:db", "cmd"),
        ("watcher:db", "cmd"),
        ("watcher:db", "graceful_timeout"),
    ]

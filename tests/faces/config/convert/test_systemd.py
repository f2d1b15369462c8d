"""The reader of systemd's units, directive by directive, and of a folder of them."""

from __future__ import annotations

import re
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioverseer import Spec
from aioverseer.config import ConfigError
from aioverseer.config.convert import Conversion, read, read_units
from aioverseer.config.convert.systemd.calendar import as_cron
from aioverseer.config.convert.systemd.commands import split_words
from aioverseer.config.convert.systemd.values import read_bytes, read_seconds
from tests.support.conversions import specs_of

LISTED = (Path(__file__).parents[3] / "support/systemd_directives.txt").read_text(encoding="utf-8")
"""Sections and keys that ``systemd --dump-configuration-items`` of version 252 lists."""
DIRECTIVES = {
    found[1]: found[2].split()
    for found in re.finditer(r"^\[(\w+)\]\n(.*?)(?=^\[|\Z)", LISTED, re.MULTILINE | re.DOTALL)
}
VALUES = {
    "ExecStart": "/bin/true",
    "Type": "notify",
    "Restart": "always",
    "KillMode": "mixed",
    "User": "web",
    "Environment": "A=1",
    "OnCalendar": "daily",
    "ListenStream": "8080",
    "StandardInputData": "eA==",
    "CPUQuota": "50%",
    "WorkingDirectory": "/srv",
    "Unit": "web.service",
    "Service": "web.service",
    "OnUnitActiveSec": "1h",
    "KillSignal": "SIGTERM",
    "WatchdogSignal": "SIGABRT",
    **dict.fromkeys(("NoNewPrivileges", "RemainAfterExit", "Persistent", "Accept", "RemoveOnStop"), "no"),
    "IOSchedulingClass": "idle",
    "CPUAffinity": "0",
    "SocketMode": "0600",
    "LimitNICE": "1",
}
"""A value for each directive that does not take a number."""
WEB = {"web.service": "[Service]\nExecStart=/bin/web\n"}


def converted(text: str, path: str = "web.service") -> Conversion:
    return read(text, kind="systemd", path=path)


def service(lines: str, *, head: str = "", name: str = "web.service") -> dict[str, Any]:
    text = f"[Unit]\n{head}\n[Service]\nExecStart=/bin/web\n{lines}\n"
    services: dict[str, dict[str, Any]] = converted(text, name).data["services"]
    return next(iter(services.values()))


@pytest.mark.parametrize("section", ["Unit", "Service", "Install", "Timer", "Socket"])
def test_every_directive_has_one_note_and_is_known(section: str) -> None:
    keys = DIRECTIVES[section]
    lines = f"[{section}]\n" + "".join(f"{key}={VALUES.get(key, '1')}\n" for key in keys)
    kind = {"Timer": "timer", "Socket": "socket"}.get(section, "service")
    texts = WEB | {f"web.{kind}": lines if section in ("Service", "Timer", "Socket") else WEB["web.service"] + lines}
    notes = [note for note in read_units(texts).notes if note.place == f"web.{kind} [{section}]"]
    assert sorted(note.key for note in notes) == sorted(keys)
    assert not [note for note in notes if "no such key" in note.text]


def test_a_unit_without_further_keys_does_what_systemd_does_with_it() -> None:
    (spec,) = specs_of(converted("[Service]\nExecStart=/bin/web -v\n"))
    assert spec.argv == ("/bin/web", "-v")
    assert spec.restart.when == "never"
    assert spec.restart.max_restarts == 4  # five starts
    assert spec.restart.success_signals == {Signals.SIGHUP, Signals.SIGINT, Signals.SIGPIPE, Signals.SIGTERM}
    assert spec.stop.total == 92
    assert spec.cwd == "/"


def signals_by_number(number: int) -> Any:
    from signal import Signals

    return Signals(number)


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ("Type=notify-reload", {"ready": {"notify": True}, "reload": "notify"}),
        ("Type=forking\nPIDFile=/run/web.pid", {"main_pid": {"path": "/run/web.pid"}}),
        ("Restart=on-success", {"restart": {"when": "never", "force_codes": [0]}}),
        ("StartLimitBurst=0", {"restart": {"max_restarts": "none"}}),
        ("StartLimitBurst=3\nStartLimitInterval=1min", {"restart": {"max_restarts": 2, "within": 60}}),
        ("RestartSec=2", {"restart": {"backoff": {"min": 2, "max": 2, "jitter": False}}}),
        (
            "SuccessExitStatus=143 SIGKILL DATAERR",
            {
                "restart": {
                    "success_codes": [0, 65, 143],
                    "success_signals": ["SIGHUP", "SIGINT", "SIGKILL", "SIGPIPE", "SIGTERM"],
                }
            },
        ),
        ("TimeoutStartSec=infinity", {"ready_timeout": "none"}),
        ("TimeoutSec=5", {"ready_timeout": 5, "stop": {"timeout": 5}}),
        ("Type=oneshot\nTimeoutStartSec=1h", {"max_runtime": 3600, "restart": {"success_signals": []}}),
        ("KillMode=mixed\nKillSignal=QUIT", {"stop": {"signal": "SIGQUIT", "scope": "leader"}}),
        ("ExecStop=/bin/kill -INT $MAINPID", {"stop": {"signal": "SIGINT"}}),
        ("ExecReload=/bin/kill --signal HUP ${MAINPID}", {"reload": "SIGHUP"}),
        ("ExecReload=/bin/web reload $MAINPID", {"reload": ["/bin/web", "reload", "{pid}"]}),
        ("ExecStartPre=/bin/a\nExecStartPre=-/bin/b 'c d'", {"prepare": ["sh", "-fec", "/bin/a; /bin/b 'c d' || :"]}),
        ("ExecStopPost=/bin/rm -f %t/web/x", {"cleanup": ["/bin/rm", "-f", "/run/web/x"]}),
        ("User=1000", {"user": 1000}),
        ("User=web\nGroup=www\nSupplementaryGroups=a b\nSupplementaryGroups=4", {
            "user": "web:www", "extra_groups": ["a", "b", 4]
        }),
        ("UMask=0027", {"umask": "0027"}),
        ("Environment=A=1 'B=two words' \"C=%N ${A}\"\nEnvironment=A=3", {
            "extra_env": {"A": "3", "B": "two words", "C": "web $${A}"}
        }),
        ("Environment=A=1\nEnvironment=\nEnvironment=B=2", {"extra_env": {"B": "2"}}),
        ("EnvironmentFile=-/etc/web", {"env_file": ["?/etc/web"]}),
        ("StandardOutput=append:/log/a{b}\nStandardError=inherit", {"log": {"path": "/log/a{{b}}"}}),
        ("StandardOutput=null", {"output": "null"}),
        ("StandardOutput=journal\nStandardError=null", {"stderr": "null"}),
        ("StandardInput=data\nStandardInputText=a b\nStandardInputText=c", {"stdin": "a b\nc\n"}),
        ("StandardInput=data\nStandardInputText={id} ${A}", {"stdin": "{id} $${A}\n"}),
        ("StandardInput=file:/etc/web.in", {"stdin": {"file": "/etc/web.in"}}),
        ("LimitNOFILE=1K:2K\nLimitCORE=infinity\nLimitCPU=1min", {
            "rlimits": {"cpu": 60, "core": -1, "nofile": [1024, 2048]}
        }),
        ("CPUAffinity=0-2 1,5", {"cpus": [0, 1, 2, 5]}),
        ("IOSchedulingPriority=3", {"io_class": "best-effort:3"}),
        ("AmbientCapabilities=CAP_NET_BIND_SERVICE cap_sys_nice", {
            "ambient_capabilities": ["net_bind_service", "sys_nice"]
        }),
        ("MemoryMax=1.5G\nTasksMax=100\nCPUQuota=20%", {"memory_max": 1_610_612_736, "pids_max": 100, "cpu_max": 0.2}),
        ("WatchdogSec=10\nTimeoutAbortSec=5", {
            "alive": {
                "probe": {"notify": True}, "every": 10, "failures": 1, "stop": {"signal": "SIGABRT", "timeout": 5}
            }
        }),
        ("NoNewPrivileges=yes\nNice=5\nOOMScoreAdjust=-10", {
            "no_new_privileges": True, "nice": 5, "oom_score_adj": -10
        }),
    ],
)  # fmt: skip
def test_directives_become_options(lines: str, options: dict[str, Any]) -> None:
    assert service(lines) == {"command": ["/bin/web"], **options}
    list(specs_of(converted(f"[Service]\nExecStart=/bin/web\n{lines}\n")))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('/bin/web \'a b\' "c\\"d" e\\x20f \\s', ["/bin/web", "a b", 'c"d', "e f", " "]),
        ("!!/bin/web {id} %% %p", ["/bin/web", "{{id}}", "%", "web"]),
        ("@/bin/web shown a", ["/bin/web", "a"]),
        (":/bin/web $HOME $$ ${X}", ["/bin/web", "$HOME", "$$$", "$${X}"]),
        ("/bin/web $$HOME", ["/bin/web", "$HOME"]),
        ("/bin/web $OPTS ${X}y", ["sh", "-fc", 'exec /bin/web $OPTS "$${X}y"']),
        ("-/bin/web a", ["sh", "-fec", "/bin/web a || :"]),
    ],
)
def test_a_command_is_read_as_systemd_reads_it(line: str, words: list[str]) -> None:
    data = converted(f"[Service]\nType=oneshot\nExecStart={line}\n").data
    assert data["services"]["web"]["command"] == words


def test_variables_that_the_unit_sets_are_replaced() -> None:
    text = "[Service]\nEnvironment='OPTS=-a -b' X=1$2\nExecStart=/bin/web $OPTS ${OPTS} --x=${X}\n"
    assert converted(text).data["services"]["web"]["command"] == ["/bin/web", "-a", "-b", "-a -b", "--x=1$2"]


@given(st.lists(st.text("abc \\\"'$;%", min_size=1, max_size=6), min_size=1, max_size=4))
def test_quoted_words_are_split_as_they_were(words: list[str]) -> None:
    line = " ".join('"' + re.sub(r'(["\\])', r"\\\1", word) + '"' for word in words)
    assert split_words(line) == words


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("daily", ("0 0 * * *", None)),
        ("weekly", ("0 0 * * 1", None)),
        ("*-*-* 03:30:00", ("30 3 * * *", None)),
        ("Mon..Fri *-*-* 10:00", ("0 10 * * 1-5", None)),
        ("Mon,Thu 4:05 Europe/Berlin", ("5 4 * * 1,4", "Europe/Berlin")),
        ("*:0/15", ("0-59/15 * * * *", None)),
        ("00/3:00", ("0 0-23/3 * * *", None)),
        ("*-1,7-01 00:00:00 UTC", ("0 0 1 1,7 *", "UTC")),
        ("*-*-* *:41:00", ("41 * * * *", None)),
        ("2030-*-* 03:00", None),
        ("*-*-* 03:00:30", None),
        ("Mon *-*-1 03:00", None),
        ("*-02~1 00:00", None),
        ("*-*-* 25:00", None),
        ("", None),
    ],
)
def test_a_calendar_event_becomes_a_cron_expression(text: str, cron: tuple[str, str | None] | None) -> None:
    assert as_cron(text) == cron
    if cron is not None:
        Spec.from_dict({"id": "web", "command": ["web"], "schedule": {"cron": cron[0]}})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1min 30s", 90), ("1.5h", 5400), ("100ms", 0.1), ("2M", 5_259_600), ("1d12h", 129_600), ("x", None)],
)
def test_time_spans(text: str, seconds: float | None) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("4K", 4096), ("1.5G", 3 << 29), ("10%", None)])
def test_sizes(text: str, size: int | None) -> None:
    assert read_bytes(text) == size


def test_a_folder_of_units_is_one_file() -> None:
    texts = {
        "units/web.service": (
            "[Unit]\nRequires=db.service migrate.service\nAfter=db.service migrate.service network.target\n"
            "[Service]\nType=notify\nExecStart=/bin/web\nMemoryMax=1G\n"
        ),
        "units/web.service.d/20-more.conf": "[Service]\nMemoryMax=2G\n",
        "units/web.service.d/10-less.conf": "[Service]\nMemoryMax=512M\nEnvironment=A=1\n",
        "units/web.socket": "[Socket]\nListenStream=127.0.0.1:8080\nListenStream=/run/web.sock\nSocketMode=0660\n",
        "units/db.service": "[Unit]\nBefore=cache.service\n[Service]\nExecStart=/bin/db\n",
        "units/migrate.service": "[Service]\nType=oneshot\nExecStart=/bin/migrate\n",
        "units/cache.service": "[Unit]\nPartOf=db.service\nWants=web.service\n[Service]\nExecStart=/bin/cache\n",
        "units/tidy.service": "[Unit]\nAfter=db.service\n[Service]\nType=oneshot\nExecStart=/bin/tidy\n",
        "units/tidy.timer": "[Timer]\nOnCalendar=daily\nPersistent=true\nRandomizedDelaySec=5min\n",
        "units/all.target": "[Unit]\nRequires=web.service\n",
    }
    conversion = read_units(texts)
    services = conversion.data["services"]
    assert services["web"]["memory_max"] == 2 << 30
    assert services["web"]["extra_env"] == {"A": "1"}
    assert services["web"]["after"] == {"db": {"on_end": "stop"}, "migrate": "success"}
    assert services["web"]["on_demand"] is True
    assert services["web"]["listen"] == {
        "web.socket": {"tcp": 8080, "host": "127.0.0.1"},
        "web.socket-2": {"unix": "/run/web.sock", "mode": "0660"},
    }
    assert services["cache"]["after"] == {"db": {"hard": False, "on_end": "stop", "on_restart": "restart"}}
    assert services["tidy"]["schedule"] == {"cron": "0 0 * * *", "jitter": 300, "missed": "once"}
    assert services["tidy"]["after"] == {"db": {"hard": False}}
    assert [spec.id for spec in specs_of(conversion)] == ["cache", "db", "migrate", "tidy", "web"]
    assert [note for note in conversion.of("lost") if note.place == "all.target [Unit]"]


def test_a_unit_that_follows_a_failure_is_a_hook() -> None:
    conversion = read_units({
        "web.service": "[Unit]\nOnFailure=tell@%n.service\n[Service]\nExecStart=/bin/web\nExecStartPost=/bin/warm a\n",
        "tell@.service": "[Service]\nType=oneshot\nExecStart=/bin/tell %i {id}\nEnvironment=TO=ana\n",
        "lone.service": "[Unit]\nOnFailure=none.service\n[Service]\nExecStart=/bin/l\nExecStartPost=/bin/x $MAINPID\n",
    })  # fmt: skip
    assert sorted(conversion.data["services"]) == ["lone", "web"]
    assert conversion.data["hooks"] == [
        {
            "on": ["failed"],
            "services": ["web"],
            "run": ["/bin/tell", "web.service", "{id}"],
            "cwd": "/",
            "extra_env": {"TO": "ana"},
        },
        {"on": ["running"], "services": ["web"], "run": ["/bin/warm", "a"], "cwd": "/"},
    ]
    lost = {(note.place, note.key) for note in conversion.of("lost")}
    assert lost == {("lone.service [Unit]", "OnFailure"), ("lone.service [Service]", "ExecStartPost")}


def test_a_unit_brings_what_stands_beside_it() -> None:
    asked: list[str] = []
    beside = {"web.socke[t]": {"etc/web.socket": "[Socket]\nListenStream=80\n"}}

    def included(pattern: str) -> dict[str, str]:
        asked.append(pattern)
        return beside.get(pattern, {})

    conversion = read(WEB["web.service"], kind="systemd", path="etc/web.service", included=included)
    assert asked == ["web.socke[t]", "web.time[r]", "web.service.d/*.conf"]
    assert conversion.data["services"]["web"]["listen"] == {"web.socket": {"tcp": 80, "host": "::"}}


def test_a_template_is_a_set_of_one_instance() -> None:
    options = service("Environment=N=%i\nStandardOutput=append:/log/%i.log", name="web@.service")
    assert options["instances"] == 1
    assert options["extra_env"] == {"N": "{index}"}
    assert options["log"] == {"path": "/log/{index}.log"}
    assert service("Environment=N=%i-%j", name="a-web@blue.service")["extra_env"] == {"N": "blue-web"}


def test_all_problems_come_at_once_and_no_value_is_shown() -> None:
    text = (
        "ExecStart=/bin/web 'SECRET\nEnvironment=SECRET\nRestart=maybe\nTimeoutStopSec=SECRET\nExecReload=/bin/x %b\n"
    )
    with pytest.raises(ConfigError) as caught:
        converted(f"[Service]\n{text}")
    assert {problem.path[1] for problem in caught.value.problems} == {
        *("ExecStart", "Environment", "Restart", "TimeoutStopSec", "ExecReload")
    }
    assert "SECRET" not in str(caught.value)


def test_a_line_that_is_none_is_shown_by_its_number() -> None:
    with pytest.raises(ConfigError, match=r"web\.service:3: this line is no section, no comment and no Key=value"):
        converted("[Service]\nExecStart=/bin/web\nSECRET", "web.service")

"""Units of systemd: their settings, their syntax, and what systemd itself reads in them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from aioverseer import After, Alive, Backoff, Cron, Every, PidFile, Restart, Spec, Stop, listen, ready
from aioverseer.config.convert import read
from aioverseer.config.convert.escapes import escaped
from aioverseer.config.export.systemd.unit_text import escape_name
from tests.support.exports import exported, said, settings

ANALYZE = shutil.which("systemd-analyze")
MANAGER = next((path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if os.path.exists(path)), None)
needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
needs_manager = pytest.mark.skipif(MANAGER is None, reason="systemd is not installed")
NOBODY = 65534
NASTY = ["", "a b", '"', "'", "\\", "%i", "$HOME", "${X}", ";", "#", "a\nb\tc", "\x01", "ü 漢", "{pid}", "-x=%", "@"]
"""Words with every character that unit files give a meaning."""


def service(*argv: str, **options: Any) -> list[str]:
    """Return the settings of the unit of one service."""
    spec = Spec.of("web", argv or ("/bin/web",), **options)
    return settings(exported("systemd", spec).files["shop-web.service"])


def test_a_service_as_a_whole() -> None:
    spec = Spec.of(
        "web",
        ["./venv/bin/python", "serve.py", "--title=it's 100%"],
        cwd="/srv/shop/web",
        extra_env={"MODE": "a b", "N": "1"},
        ready=ready.notify(),
        restart=Restart("always", max_restarts=3, within=30),
        stop=Stop(signal.SIGINT, 20),
    )
    assert exported("systemd", spec).files == {
        "shop-web.service": """\
# Made from /srv/shop/aioverseer.toml by: aioverseer export systemd

[Unit]
Description=web of shop
PartOf=shop.target
StartLimitIntervalSec=30
StartLimitBurst=4

[Service]
Type=notify
NotifyAccess=all
ExecStart=/srv/shop/web/venv/bin/python serve.py "--title=it's 100%%"
WorkingDirectory=/srv/shop/web
Environment="MODE=a b"
Environment=N=1
TimeoutStartSec=30
Restart=always
RestartSec=0.1
SuccessExitStatus=130
KillSignal=SIGINT
TimeoutStopSec=20
""",
        "shop.target": """\
# All of shop: systemctl enable --now shop.target

[Unit]
Description=Services of shop
Wants=shop-web.service

[Install]
WantedBy=multi-user.target
""",
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "SuccessExitStatus=143"),
        ({"stop": Stop(signal.SIGQUIT, 5)}, "SuccessExitStatus=131 SIGQUIT"),
        ({"stop": Stop(signal.SIGKILL, 5)}, "KillSignal=SIGKILL"),
        ({"stop": Stop(steps=[Stop.close_stdin(3)]), "stdin": "pipe"}, "KillSignal=SIGTERM"),
        ({"stop": Stop(steps=[Stop.command(["/bin/bye", "{pid}"], 5)])}, "ExecStop=/bin/bye ${MAINPID}"),
        ({"stop": Stop(scope="leader")}, "KillMode=mixed"),
        ({"leftovers": "keep"}, "KillMode=process"),
        ({"restart": Restart("never")}, "Restart=no"),
        ({"restart": Restart(max_restarts=0)}, "Restart=no"),
        ({"restart": Restart("on-abnormal")}, "Restart=on-abnormal"),
        ({"restart": Restart(max_restarts=None)}, "StartLimitIntervalSec=0"),
        ({"restart": Restart(within=None)}, "StartLimitIntervalSec=infinity"),
        (
            {"restart": Restart(success_codes={0, 3}, success_signals={signal.SIGUSR1})},
            "SuccessExitStatus=143 3 SIGUSR1",
        ),
        ({"restart": Restart(prevent_codes={7, 2})}, "RestartPreventExitStatus=2 7"),
        ({"restart": Restart("never", force_codes={9})}, "RestartForceExitStatus=9"),
        ({"alive": Alive(ready.notify(), every=15)}, "WatchdogSec=15"),
        ({"alive": Alive(ready.notify(), stop=Stop(signal.SIGQUIT, 5))}, "WatchdogSignal=SIGQUIT"),
        ({"main_pid": PidFile("run/web.pid")}, "PIDFile=/srv/shop/run/web.pid"),
        ({"main_pid": "notify"}, "NotifyAccess=all"),
        ({"reload": signal.SIGHUP}, "ExecReload=/bin/kill -s HUP $MAINPID"),
        ({"reload": ["/bin/again", "{pid}"]}, "ExecReload=/bin/again ${MAINPID}"),
        ({"prepare": ["/bin/first", "a b"]}, 'ExecStartPre=/bin/first "a b"'),
        ({"cleanup": ["/bin/last"]}, "ExecStopPost=/bin/last"),
        ({"max_runtime": 90}, "RuntimeMaxSec=90"),
        ({"ready": ready.notify(), "ready_timeout": None}, "TimeoutStartSec=infinity"),
        ({"stdin": Path("in.txt")}, "StandardInput=file:/srv/shop/in.txt"),
        ({"stdin": "hi\n"}, "StandardInputData=aGkK"),
        ({"stdout": "null"}, "StandardError=journal"),
        ({"user": "www:web", "extra_groups": ["video", 7]}, "SupplementaryGroups=video 7"),
        ({"user": "www:web"}, "Group=web"),
        ({"umask": 0o027}, "UMask=027"),
        ({"cpu_max": 0.5}, "CPUQuota=50%"),
        ({"memory_max": 1 << 30}, "MemoryMax=1073741824"),
        ({"rlimits": {"nofile": (10, -1)}}, "LimitNOFILE=10:infinity"),
        ({"io_class": "best-effort:3"}, "IOSchedulingPriority=3"),
        ({"ambient_capabilities": ["net_bind_service"]}, "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
        ({"ready": ready.file("/run/ok"), "ready_timeout": 7.5}, "TimeoutStartSec=7.5"),
    ],
)
def test_options_become_settings(options: dict[str, Any], expected: str) -> None:
    assert expected in service(**options)


@pytest.mark.parametrize(
    ("probe", "script"),
    [
        (ready.tcp(6399), "(: </dev/tcp/127.0.0.1/6399) 2>/dev/null"),
        (ready.unix("run/a b"), "test -S 'run/a b'"),
        (ready.command("pg_isready", "-q"), "pg_isready -q"),
        (ready.file("/a") & ready.file("/b"), "{ test -e /a; } && { test -e /b; }"),
        (ready.file("/a") | ready.file("/b"), "{ test -e /a; } || { test -e /b; }"),
        (ready.notify() & ready.file("/a"), "test -e /a"),
    ],
)
def test_readiness_is_a_loop_after_the_start(probe: ready.Probe, script: str) -> None:
    assert f'ExecStartPost=/bin/bash -c "until {script}; do sleep 0.2; done"' in service(ready=probe)


def test_a_probe_that_no_command_can_ask_is_lost() -> None:
    export = exported("systemd", Spec.of("web", ["/bin/web"], ready=ready.line("up") | ready.file("/a")))
    assert "ExecStartPost" not in export.files["shop-web.service"]
    assert [what for what, _ in said(export, "ready")] == ["lost"]


def test_order_becomes_requires_and_after() -> None:
    specs = [
        Spec.of("db", ["/bin/db"]),
        Spec.of("migrate", ["/bin/migrate"], after="db", restart=Restart("never")),
        Spec.of("cache", ["/bin/cache"]),
        Spec.of("web", ["/bin/web"], after=[
            After("migrate", "success"), After("cache", hard=False), After("db", on_end="stop"),
        ]),
    ]  # fmt: skip
    files = exported("systemd", *specs).files
    assert [line for line in settings(files["shop-web.service"]) if "shop-" in line] == [
        "Requires=shop-migrate.service",
        "After=shop-migrate.service",
        "Wants=shop-cache.service",
        "After=shop-cache.service",
        "BindsTo=shop-db.service",
        "After=shop-db.service",
    ]
    # After= waits for the end of a oneshot. Its stop in the middle is no success, or the web would start.
    task = settings(files["shop-migrate.service"])
    assert {"Type=oneshot", "RemainAfterExit=yes"} <= set(task)
    assert not [line for line in task if line.startswith("SuccessExitStatus")]


def test_instances_are_a_template() -> None:
    spec = Spec.of(
        "web",
        ["/bin/web", "--name={id}", "{{id}}", "--fd={fd.http}"],
        instances=2,
        cwd="/srv/{index}",
        listen={"admin": listen.unix("a.sock", mode=0o660), "http": listen.tcp(8000, host="::1")},
    )
    worker = Spec.of("worker", ["/bin/worker"], after="web")
    files = exported("systemd", spec, worker).files
    lines = settings(files["shop-web@.service"])
    assert "ExecStart=/bin/web --name=web.%i {id} --fd=4" in lines
    assert "WorkingDirectory=/srv/%i" in lines
    assert lines.count("Sockets=shop-web-http.socket") == 1
    assert {"Wants=shop-web@0.service", "Wants=shop-web@1.service"} <= set(settings(files["shop.target"]))
    assert "After=shop-web@1.service" in settings(files["shop-worker.service"])
    assert {"ListenStream=[::1]:8000", "FileDescriptorName=http", "Service=shop-web@0.service"} <= set(
        settings(files["shop-web-http.socket"])
    )
    assert "SocketMode=0660" in settings(files["shop-web-admin.socket"])


def test_instances_with_ports_have_a_file_each() -> None:
    spec = Spec.of("web", ["/bin/web", "{port}", "{index}"], instances=2, port=range(9000, 9010))
    one = Spec.of("one", ["/bin/one"], after="web.1")
    files = exported("systemd", spec, one).files
    assert "ExecStart=/bin/web 9001 1" in settings(files["shop-web-1.service"])
    assert "After=shop-web-1.service" in settings(files["shop-one.service"])


def test_a_service_on_demand_is_started_by_its_socket_alone() -> None:
    spec = Spec.of("web", ["/bin/web"], listen={"http": listen.tcp(8000)}, on_demand=True)
    assert [line for line in settings(exported("systemd", spec).files["shop.target"]) if "Wants" in line] == [
        "Wants=shop-web-http.socket"
    ]


def test_the_failure_of_a_critical_service_stops_all() -> None:
    files = exported("systemd", Spec.of("web", ["/bin/web"], critical=True)).files
    assert "OnFailure=shop.end.service" in settings(files["shop-web.service"])
    assert "Conflicts=shop.target" in settings(files["shop.end.service"])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Cron("30 2 * * *", timezone="Europe/Berlin"), ["OnCalendar=*-*-* 2:30:00 Europe/Berlin"]),
        (Cron("*/20 * 1 * mon"), ["OnCalendar=*-*-1 *:0,20,40:00", "OnCalendar=Mon *-*-* *:0,20,40:00"]),
        (Cron("0 9-17 * * 1-5"), ["OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 9..17:0:00"]),
        (Cron("@monthly", missed="once"), ["OnCalendar=*-*-1 0:0:00", "Persistent=yes"]),
        (Cron("@daily", jitter=60), ["OnCalendar=*-*-* 0:0:00", "RandomizedDelaySec=60"]),
        (Every(300), ["OnActiveSec=300", "OnUnitActiveSec=300"]),
        (Every(300, first="at_start"), ["OnActiveSec=0", "OnUnitActiveSec=300"]),
    ],
)
def test_schedules_become_timers(schedule: Cron | Every, expected: list[str]) -> None:
    files = exported("systemd", Spec.of("job", ["/bin/job"], schedule=schedule, max_runtime=60)).files
    assert [line for line in settings(files["shop-job.timer"])[2:] if line != "AccuracySec=1"] == expected
    assert {"Type=oneshot", "TimeoutStartSec=60", "SuccessExitStatus=143 SIGTERM"} <= set(
        settings(files["shop-job.service"])
    )
    assert "Wants=shop-job.timer" in settings(files["shop.target"])


@pytest.mark.parametrize(
    ("schedule", "seconds"), [(None, "90"), (Every(30), "30"), (Every(300), "90"), (Cron("* * * * *"), "60")]
)
def test_starts_by_a_timer_do_not_use_up_the_limit(schedule: Cron | Every | None, seconds: str) -> None:
    assert f"StartLimitIntervalSec={seconds}" in service(schedule=schedule, restart=Restart(within=90))


def test_programs_are_found_where_systemd_looks() -> None:
    export = exported("systemd", Spec.of("web", ["python", "-V"]))
    assert "ExecStart=python -V" in settings(export.files["shop-web.service"])
    assert [what for what, _ in said(export, "command")] == ["changed"]
    assert "ExecStart=/usr/bin/env python -V" in service("python", "-V", extra_env={"PATH": "/srv/bin"})
    assert "ExecStart=/usr/bin/env @web" in service("@web")


@needs_analyze
def test_names_are_escaped_as_systemd_does() -> None:
    names = ["web", "a b", "a@b", "üx", "a\\x20", "-", "..", "a-b_c:d"]
    found = subprocess.run(["systemd-escape", "--", *names], stdout=subprocess.PIPE, text=True, check=True)
    # It also escapes dashes and leading dots, which the name of a unit may hold.
    assert [escape_name(name).replace("-", r"\x2d") for name in names if name != ".."] == [
        each for each, name in zip(found.stdout.split(), names, strict=True) if name != ".."
    ]


EVERYTHING = [
    Spec.of("db", ["/bin/sleep", "60"], ready=ready.tcp(5432) & ready.file("/run/a b"), critical=True),
    Spec.of("migrate", ["/bin/true"], after="db", restart=Restart("never"), max_runtime=60),
    Spec.of(
        "web site",
        ["/bin/sleep", "{index}", "%i $HOME"],
        instances=2,
        listen={"http": listen.tcp(8000), "admin": listen.unix("/run/admin.sock", mode=0o600)},
        after={"db": "ready", "migrate": "success"},
        ready=ready.notify(),
        alive=Alive(ready.notify(), every=5),
        extra_env={"A": 'b "c" %d $e'},
        stop=Stop(steps=[Stop.command(["/bin/kill", "{pid}"], 5), (signal.SIGINT, 5)], scope="leader"),
        user="root:root",
        umask=0o22,
        nice=5,
        rlimits={"nofile": (1024, -1)},
        cpus=[0],
        io_class="idle",
        cpu_max=0.5,
        memory_max=1 << 30,
        pids_max=100,
        oom_score_adj=100,
        no_new_privileges=True,
        ambient_capabilities=["net_bind_service"],
        reload=signal.SIGHUP,
        prepare=["/bin/true"],
        cleanup=["/bin/true"],
        stdin="text",
    ),
    Spec.of("job", ["/bin/true"], schedule=Cron("0 9-17 1 * 1-5", timezone="Europe/Berlin", missed="once", jitter=5)),
    Spec.of("daemon", ["/bin/true"], main_pid=PidFile("/run/daemon.pid")),
    Spec.of("tick", ["/bin/true"], schedule=Every(300, first="at_start")),
    Spec.of("asleep", ["/bin/true"], listen={"s": listen.unix("@abstract")}, on_demand=True),
]
"""Services that have every setting."""


@needs_analyze
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    files = exported("systemd", *EVERYTHING).files
    files = {**files, **exported("systemd-up", *EVERYTHING, name="all").files}
    paths = written(tmp_path, files)
    command = [ANALYZE or "", "verify", "--man=no", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_manager
def test_systemd_reads_the_words_as_they_were() -> None:
    variables = {f"V{number}": word for number, word in enumerate(NASTY)}
    spec = Spec.of("web", ["/bin/echo", *NASTY], extra_env=variables, cwd="/tmp/a b%c")
    with tempfile.TemporaryDirectory() as folder:  # the manager runs as nobody, who cannot look into tmp_path
        dump = loaded(Path(folder), exported("systemd", spec).files, "shop-web.service")
    assert [words_of(line) for line in dump["Command Line"]] == [spec.argv]
    assert dump["Environment"] == [f"{name}={word}" for name, word in variables.items()]
    assert dump["WorkingDirectory"] == ["/tmp/a b%c"]


def written(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write files, and return their paths."""
    for name, text in files.items():
        (folder / name).write_text(text)
    return [str(folder / name) for name in files]


def loaded(folder: Path, files: Mapping[str, str], unit: str) -> dict[str, list[str]]:
    """Return what the manager of systemd has read in a unit, by the words of its dump."""
    folder.chmod(0o755)
    written(folder, files)
    (folder / "runtime").mkdir()
    # The last colon stands for the folders of the machine, with basic.target.
    environ = {"HOME": "/", "SYSTEMD_UNIT_PATH": f"{folder}:", "XDG_RUNTIME_DIR": str(folder / "runtime")}
    as_nobody: list[str] = []
    if os.geteuid() == 0:  # the manager has no test mode for root
        os.chown(folder / "runtime", NOBODY, NOBODY)
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command = [*as_nobody, MANAGER or "", "--test", "--user", f"--unit={unit}"]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=True, timeout=20)
    found: dict[str, list[str]] = {}
    text = done.stdout.partition(f"-> Unit {unit}:")[2].partition("\n\t-> Unit ")[0]
    for name, value in re.findall(r"\n\t+([A-Z][A-Za-z ]+): (.*?)(?=\n\t)", text, re.DOTALL):
        found.setdefault(name, []).append(value)
    return found


def words_of(line: str) -> tuple[str, ...]:
    """Return the words of a command line in a dump. A dollar sign is still doubled there."""
    found = []
    for quoted, plain in re.findall(r'"((?:\\.|[^"\\])*)"|(\S+)', line, re.DOTALL):
        text = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), quoted)
        text = re.sub(r"\\(.)", lambda each: {"n": "\n", "t": "\t"}.get(each[1], each[1]), text, flags=re.DOTALL)
        found.append((text or plain).replace("$$", "$"))
    return tuple(found)


def test_the_reader_of_units_finds_the_same_options() -> None:
    words = [word for word in NASTY if word != ";"]
    variables = {f"V{number}": word for number, word in enumerate(NASTY)}
    spec = Spec.of(
        "web",
        ["/bin/echo", *words],
        extra_env=variables,
        cwd="/srv/a b%c",
        ready=ready.notify(),
        ready_timeout=7,
        restart=Restart("always", max_restarts=3, within=30, backoff=Backoff(min=1, max=1, jitter=False)),
        stop=Stop(signal.SIGINT, 20, scope="leader"),
        user="www:web",
        umask=0o27,
        nice=5,
        rlimits={"nofile": (10, -1)},
        memory_max=1 << 20,
        no_new_privileges=True,
    )
    text = exported("systemd", spec).files["shop-web.service"]
    found = read(text, kind="systemd", path="shop-web.service").data["services"]["shop-web"]
    expected = spec.to_dict() | {"command": ["/bin/echo", *map(escaped, words)]}
    expected["extra_env"] = {name: escaped(word) for name, word in variables.items()}
    backoff = {"min": 1, "max": 1, "jitter": False}
    # The stop by SIGINT is a success.
    policy = {"when": "always", "max_restarts": 3, "within": 30, "backoff": backoff, "success_codes": [0, 130]}
    expected["restart"] = policy
    assert found == {name: value for name, value in expected.items() if name != "id"}

"""Every key that process-compose, compose and pm2 document has a note of its own: it is carried, changed or lost.

The lists are those of the tools: the JSON Schema and the structures of process-compose 1.122, the schema of the compose
specification, and ``lib/API/schema.json`` of pm2 6 with the other names of its keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from aioverseer.config.convert import Note, read

Tree = Mapping[str, Any]

PROJECT: Tree = {
    "version": "0.5",
    "name": "shop",
    "log_location": "all.log",
    "log_level": "info",
    "log_length": "1000",
    "log_configuration": {
        "rotation": {
            "directory": "logs",
            "filename": "all.log",
            "max_size_mb": "1",
            "max_backups": "3",
            "max_age_days": "7",
            "compress": "true",
        },
        "fields_order": ["time"],
        "disable_json": "true",
        "timestamp_format": "2006",
        "no_color": "true",
        "no_metadata": "true",
        "add_timestamp": "true",
        "flush_each_line": "true",
    },
    "log_format": "plain",
    "environment": ["A=1"],
    "shell": {
        "shell_command": "sh",
        "shell_argument": "-c",
        "elevated_shell_command": "sudo",
        "elevated_shell_argument": "-S",
    },
    "is_strict": "true",
    "vars": {"PORT": "8000"},
    "disable_env_expansion": "true",
    "is_tui_disabled": "true",
    "extends": "base.yaml",
    "env_cmds": {"NOW": "date"},
    "ordered_shutdown": "true",
    "file_names": ["a.yaml"],
    "env_file_names": [".env"],
    "dot_env_vars": {"A": "1"},
    "mcp_server": {"port": "3000"},
    "x-mine": "1",
}

PROBE: Tree = {
    "exec": {"command": "true", "working_dir": "/tmp"},
    "initial_delay_seconds": "1",
    "period_seconds": "2",
    "timeout_seconds": "3",
    "success_threshold": "1",
    "failure_threshold": "4",
}

PROCESS: Tree = {
    "name": "web",
    "extends": "base",
    "disabled": "true",
    "is_daemon": "true",
    "command": "sleep 1",
    "entrypoint": ["sleep", "1"],
    "log_location": "web.log",
    "log_configuration": {"disable_json": "true"},
    "environment": ["A=1"],
    "env_file": "web.env",
    "availability": {
        "restart": "always",
        "backoff_seconds": "2",
        "max_restarts": "3",
        "exit_on_end": "true",
        "exit_on_skipped": "true",
    },
    "depends_on": {"base": {"condition": "process_healthy"}},
    "liveness_probe": PROBE,
    "readiness_probe": {
        "http_get": {
            "host": "127.0.0.1",
            "path": "/up",
            "scheme": "http",
            "port": "8000",
            "num_port": "8000",
            "headers": {"A": "1"},
            "status_code": "204",
        },
        "grpc": {"port": "50051"},
        "initial_delay_seconds": "1",
        "period_seconds": "2",
        "timeout_seconds": "3",
        "success_threshold": "1",
        "failure_threshold": "4",
    },
    "ready_log_line": "ready",
    "shutdown": {
        "command": "true",
        "timeout_seconds": "5",
        "signal": "2",
        "parent_only": "true",
        "send_keys": "<C-c>",
    },
    "disable_ansi_colors": "true",
    "working_dir": "/tmp",
    "namespace": "base",
    "replicas": "2",
    "description": "It serves.",
    "vars": {"PORT": "8000"},
    "is_foreground": "true",
    "is_tty": "true",
    "is_elevated": "true",
    "is_interactive": "true",
    "launch_timeout_seconds": "5",
    "is_disabled": "true",
    "is_dotenv_disabled": "true",
    "original_config": "x",
    "replica_num": "0",
    "replica_name": "web",
    "executable": "sh",
    "args": ["-c"],
    "schedule": {
        "cron": "0 2 * * *",
        "timezone": "UTC",
        "interval": "5m",
        "run_on_start": "true",
        "max_concurrent": "2",
    },
    "watch": {
        "paths": [{"path": "src", "include": ["*.go"], "exclude": ["*_test.go"]}],
        "cascade": "true",
        "debounce": "300ms",
        "max_entries": "100",
        "buffer_size": "65536",
        "disable_default_excludes": "true",
    },
    "mcp": {"type": "tool"},
    "truncate_log": "true",
    "is_template_disabled": "true",
    "monitor_for": "silence",
    "monitor_silence_threshold": "10",
    "success_exit_codes": ["143"],
    "x-mine": "1",
}

HOOK: Tree = {"command": "true"}

SERVICE: Tree = {
    "annotations": {"a": "1"},
    "attach": "false",
    "blkio_config": {"weight": "300"},
    "build": {"context": "app"},
    "cap_add": ["ALL"],
    "cap_drop": ["ALL"],
    "cgroup": "host",
    "cgroup_parent": "m",
    "command": "sleep 1",
    "configs": ["c"],
    "container_name": "web",
    "cpu_count": "2",
    "cpu_percent": "50",
    "cpu_period": "20ms",
    "cpu_quota": "50000",
    "cpu_rt_period": "11000",
    "cpu_rt_runtime": "400ms",
    "cpu_shares": "73",
    "cpus": "0.5",
    "cpuset": "0-1",
    "credential_spec": {"file": "c.json"},
    "depends_on": {"base": {"condition": "service_healthy", "restart": "true", "required": "false"}},
    "deploy": {
        "mode": "global",
        "endpoint_mode": "vip",
        "replicas": "2",
        "labels": {"a": "1"},
        "rollback_config": {"parallelism": "1"},
        "update_config": {
            "parallelism": "2",
            "delay": "10s",
            "failure_action": "rollback",
            "monitor": "5s",
            "max_failure_ratio": "0.1",
            "order": "start-first",
        },
        "resources": {
            "limits": {"cpus": "0.5", "memory": "50M", "pids": "10"},
            "reservations": {"cpus": "0.25"},
        },
        "restart_policy": {"condition": "on-failure", "delay": "5s", "max_attempts": "3", "window": "120s"},
        "placement": {"constraints": ["a"]},
    },
    "develop": {"watch": [{"path": "src", "action": "restart", "ignore": ["a/"], "include": ["*.py"]}]},
    "device_cgroup_rules": ["c 1:3 mr"],
    "devices": ["/dev/null"],
    "dns": "192.0.2.1",
    "dns_opt": ["a"],
    "dns_search": "example.com",
    "domainname": "example.com",
    "entrypoint": ["env"],
    "env_file": [{"path": "a.env", "required": "false", "format": "raw"}],
    "environment": {"A": "1"},
    "expose": ["3000"],
    "extends": {"service": "base"},
    "external_links": ["a"],
    "extra_hosts": ["a:1"],
    "gpus": "all",
    "group_add": ["mail"],
    "healthcheck": {
        "disable": "false",
        "interval": "1m30s",
        "retries": "3",
        "test": ["CMD", "true"],
        "timeout": "10s",
        "start_period": "40s",
        "start_interval": "5s",
    },
    "hostname": "web",
    "image": "example/web",
    "init": "true",
    "ipc": "host",
    "isolation": "process",
    "label_file": "labels",
    "labels": {"a": "1"},
    "links": ["base"],
    "logging": {"driver": "json-file", "options": {"max-size": "10m"}},
    "mac_address": "02:42:ac:11:65:43",
    "mem_limit": "512m",
    "mem_reservation": "256m",
    "mem_swappiness": "10",
    "memswap_limit": "1g",
    "models": ["m"],
    "network_mode": "host",
    "networks": ["n"],
    "oom_kill_disable": "true",
    "oom_score_adj": "100",
    "pid": "host",
    "pids_limit": "100",
    "platform": "linux/amd64",
    "ports": ["8000:80"],
    "post_start": [HOOK],
    "pre_stop": [HOOK],
    "privileged": "true",
    "profiles": ["dev"],
    "provider": {"type": "p"},
    "pull_policy": "always",
    "pull_refresh_after": "24h",
    "read_only": "true",
    "restart": "always",
    "runtime": "runc",
    "scale": "2",
    "secrets": ["s"],
    "security_opt": ["no-new-privileges:true", "label=user:USER"],
    "shm_size": "64m",
    "stdin_open": "true",
    "stop_grace_period": "20s",
    "stop_signal": "SIGUSR1",
    "storage_opt": {"size": "1G"},
    "sysctls": {"net.core.somaxconn": "1024"},
    "tmpfs": "/run",
    "tty": "true",
    "ulimits": {"nproc": "65535", "nofile": {"soft": "20000", "hard": "40000"}},
    "use_api_socket": "true",
    "user": "1000",
    "userns_mode": "host",
    "uts": "host",
    "volumes": ["./src:/src"],
    "volumes_from": ["base"],
    "working_dir": "/src",
    "x-mine": "1",
}

COMPOSE: Tree = {
    "version": "3",
    "name": "shop",
    "include": ["other.yaml"],
    "networks": {"n": {}},
    "volumes": {"v": {}},
    "secrets": {"s": {"file": "s"}},
    "configs": {"c": {"file": "c"}},
    "models": {"m": {"model": "m"}},
    "x-mine": "1",
}

APP: Tree = {
    "script": "app.js",
    "name": "web",
    "name_prefix": "a-",
    "filter_env": True,
    "namespace": "base",
    "install_url": "https://example.com",
    "cwd": "/tmp",
    "args": ["--port", "80"],
    "exec_interpreter": "node",
    "node_args": "--harmony",
    "out_file": "out.log",
    "error_file": "err.log",
    "log_file": "all.log",
    "disable_logs": True,
    "log_type": "json",
    "log_date_format": "YYYY",
    "time": True,
    "env": {"A": "1"},
    "env_production": {"A": "2"},
    "max_memory_restart": "100M",
    "pid_file": "app.pid",
    "restart_delay": 100,
    "exp_backoff_restart_delay": 100,
    "source_map_support": False,
    "disable_source_map_support": True,
    "wait_ready": True,
    "instances": 2,
    "kill_timeout": 3000,
    "shutdown_with_message": True,
    "listen_timeout": 3000,
    "cron_restart": "0 3 * * *",
    "merge_logs": True,
    "vizion": False,
    "autostart": False,
    "autorestart": True,
    "stop_exit_codes": [0],
    "watch_delay": 1000,
    "watch": ["src"],
    "ignore_watch": ["node_modules"],
    "watch_options": {"usePolling": True},
    "min_uptime": "10s",
    "max_restarts": 5,
    "execute_command": True,
    "exec_mode": "cluster",
    "force": True,
    "append_env_to_name": True,
    "post_update": ["npm i"],
    "trace": True,
    "disable_trace": False,
    "v8": True,
    "event_loop_inspector": True,
    "deep_monitoring": True,
    "increment_var": "PORT",
    "instance_var": "INSTANCE",
    "pmx": False,
    "automation": False,
    "treekill": False,
    "port": 3000,
    "username": "me",
    "uid": "www",
    "gid": "www",
    "windowsHide": False,
    "kill_retry_time": 100,
    "write": True,
    "io": {"a": 1},
}

OTHER_NAMES = (
    *("exec", "cmd", "command", "interpreter", "interpreterArgs", "interpreter_args", "out", "output", "out_log"),
    *("error", "err", "err_file", "err_log", "log", "pid", "cron", "combine_logs", "user"),
)

TABLES = frozenset(
    "log_configuration rotation shell availability liveness_probe readiness_probe exec http_get shutdown schedule "
    "watch deploy update_config resources limits restart_policy develop healthcheck logging".split()
)
"""Tables whose own keys have the notes."""


def leaves(tree: Tree, prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in tree.items():
        inner = isinstance(value, Mapping) and key in TABLES
        found += leaves(value, f"{prefix}{key}.") if inner else [f"{prefix}{key}"]
    return found


def notes_of(data: Tree, kind: str, place: str) -> list[Note]:
    return [note for note in read(json.dumps(data), kind=kind, path="file").notes if note.place == place]


def assert_each_once(notes: list[Note], keys: list[str]) -> None:
    told = [note.key for note in notes]
    assert [key for key in keys if told.count(key) != 1] == []
    assert [note for note in notes if note.text.startswith("an unknown key")] == []


def test_each_key_of_a_project_of_process_compose_has_a_note() -> None:
    data = {**PROJECT, "processes": {"web": {"command": "true"}}}
    assert_each_once(notes_of(data, "process-compose", ""), leaves(PROJECT))


def test_each_key_of_a_process_has_a_note() -> None:
    data = {"processes": {"web": PROCESS, "base": {"command": "true"}}}
    assert_each_once(notes_of(data, "process-compose", "processes.web"), leaves(PROCESS))


def test_each_key_of_a_compose_file_has_a_note() -> None:
    data = {**COMPOSE, "services": {"web": {"command": "true"}}}
    assert_each_once(notes_of(data, "compose", ""), leaves(COMPOSE))


def test_each_key_of_a_service_of_compose_has_a_note() -> None:
    data = {"services": {"web": SERVICE, "base": {"command": "true"}}}
    assert_each_once(notes_of(data, "compose", "services.web"), leaves(SERVICE))


def test_each_key_of_an_app_of_pm2_has_a_note() -> None:
    assert_each_once(notes_of({"apps": [APP]}, "pm2", "apps[0]"), list(APP))


@pytest.mark.parametrize("key", OTHER_NAMES)
def test_another_name_of_a_key_of_pm2_has_its_note(key: str) -> None:
    app = {key: "app.js"} if key in {"exec", "cmd", "command"} else {"script": "app.js", key: "x"}
    assert_each_once(notes_of({"apps": [app]}, "pm2", "apps[0]"), list(app))


@pytest.mark.parametrize(
    ("kind", "data", "place"),
    [
        ("process-compose", {"processes": {"web": {"command": "true", "comand": "x"}}}, "processes.web"),
        ("compose", {"services": {"web": {"command": "true", "comand": "x"}}}, "services.web"),
        ("pm2", {"apps": [{"script": "app.js", "instance": 2}]}, "apps[0]"),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(kind: str, data: Tree, place: str) -> None:
    (note,) = [each for each in notes_of(data, kind, place) if "unknown" in each.text]
    assert note.what == "lost"
    assert "did you mean" in note.text

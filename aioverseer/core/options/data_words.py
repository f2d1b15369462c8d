"""Options as files write them: an example of each, and answers to words of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aioverseer.core.export import exported_from
from aioverseer.core.options.foreign import answer_to
from aioverseer.core.options.unknown import hint_for_name

__all__ = ["EXAMPLES", "hint_for_option"]

EXAMPLES: dict[str, str] = {
    "after": 'after = { migrate = "success" }',
    "alive": 'alive = { probe = { tcp = 8000 }, every = "10s" }',
    "ambient_capabilities": 'ambient_capabilities = ["net_bind_service"]',
    "command": 'command = ["python", "-m", "app"]',
    "cpu_max": "cpu_max = 0.5",
    "cpus": "cpus = [0, 1]",
    "cwd": 'cwd = "/srv/app"',
    "encoding": 'encoding = "utf-8"',
    "extra_env": 'extra_env = { PORT = "8000" }',
    "extra_groups": 'extra_groups = ["adm"]',
    "group": 'group = "workers"',
    "instances": "instances = 4",
    "io_class": 'io_class = "idle"',
    "leftovers": 'leftovers = "keep"',
    "line_limit": 'line_limit = "64 KiB"',
    "listen": 'listen = { http = "127.0.0.1:8000" }',
    "log": 'log = { path = "log/{id}.log", max_bytes = "10 MiB", keep = 5 }',
    "main_pid": 'main_pid = { path = "/run/web.pid" }',
    "max_runtime": 'max_runtime = "10m"',
    "memory_max": 'memory_max = "512 MiB"',
    "merge_stderr": "merge_stderr = true",
    "nice": "nice = 10",
    "no_new_privileges": "no_new_privileges = true",
    "on_demand": "on_demand = true",
    "oom_score_adj": "oom_score_adj = 500",
    "output": 'output = "inherit"',
    "pids_max": "pids_max = 100",
    "prepare": 'prepare = ["mkdir", "-p", "run"]',
    "pty": "pty = true",
    "queue_size": "queue_size = 1000",
    "ready": "ready = { tcp = 8000 }",
    "ready_timeout": 'ready_timeout = "30s"',
    "recycle": 'recycle = { memory = "512 MiB", age = "1d" }',
    "reload": 'reload = "SIGHUP"',
    "restart": 'restart = { when = "always", max_restarts = 5, within = "1m" }',
    "rlimits": "rlimits = { nofile = [1024, 4096] }",
    "schedule": 'schedule = { cron = "30 2 * * *" }',
    "stdin": 'stdin = "pipe"',
    "stop": 'stop = { signal = "SIGINT", timeout = "10s" }',
    "umask": 'umask = "022"',
    "user": 'user = "www-data"',
    "watch": 'watch = { paths = ["src"], include = ["*.py"] }',
}
"""An example of each option that other tools have under another name."""

_OTHERS = {
    "args": "command",
    "arguments": "command",
    "argv": "command",
    "build": "command",
    "cmd": "command",
    "entrypoint": "command",
    "env_files": "env_file",
    "environmentfile": "env_file",
    "envfile": "env_file",
    "dotenv": "env_file",
    "exec": "command",
    "execstart": "command",
    "image": "command",
    "interpreter": "command",
    "program": "command",
    "script": "command",
}
"""Options for words whose answer for Python names none, in small letters, without dashes and underscores."""


@exported_from("aioverseer.forms")
def hint_for_option(name: str, known: Iterable[str]) -> str:
    """Return what to write in place of an option that does not exist, as TOML.

    Args:
        name: Name of the option.
        known: Names that exist.
    """
    word = name.lower().replace("_", "").replace("-", "")
    options = list(known)
    named = [word] if word in options else [_OTHERS[word]] if word in _OTHERS else []
    if not named and (answer := answer_to(name)) is not None:
        named = [each for each in re.findall(r"(\w+)=", answer) if each in EXAMPLES][:1]
    if named and named[0] in EXAMPLES:
        return f"write {EXAMPLES[named[0]]}"
    return f"did you mean {named[0]!r}?" if named else hint_for_name(name, options)

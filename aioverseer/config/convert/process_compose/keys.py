"""All keys of process-compose: those that are lost, with advice, and the names of the others."""

from __future__ import annotations

__all__ = ["DEPENDENCY", "LOGGER", "LOST_IN_PROCESS", "LOST_IN_PROJECT", "PROCESS", "PROJECT"]

_INTERNAL = "process-compose sets it by itself"

LOST_IN_PROJECT = {
    "log_level": "the level of process-compose itself; set the one of logging.getLogger('aioverseer')",
    "log_length": "the number of lines that are kept in memory cannot be chosen; write log = {path = ...} for a file",
    "log_format": "write log = {path = ..., format = 'json'}",
    "is_tui_disabled": "there is no screen to turn off",
    "env_cmds": "write the values into an .env file, or run the commands in the shell that starts aioverseer",
    "mcp_server": "the services are no tools for MCP",
    "file_names": _INTERNAL,
    "env_file_names": _INTERNAL,
    "dot_env_vars": _INTERNAL,
}
"""Advice by the key at the top of the file."""

PROJECT = (
    *("version", "name", "log_location", "log_configuration", "processes", "environment", "shell", "is_strict", "vars"),
    *("disable_env_expansion", "extends", "ordered_shutdown"),
)

LOST_IN_PROCESS = {
    "name": "the name is the key of the process",
    "disable_ansi_colors": "lines are kept as they are; set NO_COLOR=1 in its environment",
    "description": "there is no text for people; keep it as a comment",
    "launch_timeout_seconds": "it is the time of a process in the background; write ready_timeout",
    "mcp": "the service is no tool for MCP",
    "truncate_log": "log files are appended to; write max_bytes and keep to bound them",
    "monitor_for": "there is no screen that could tell it",
    "monitor_silence_threshold": "there is no screen that could tell it",
    "original_config": _INTERNAL,
    "replica_num": _INTERNAL,
    "replica_name": _INTERNAL,
    "executable": _INTERNAL,
    "args": _INTERNAL,
}
"""Advice by the key of a process."""

PROCESS = (
    *("extends", "disabled", "is_disabled", "is_daemon", "command", "entrypoint", "log_location", "log_configuration"),
    *("environment", "env_file", "availability", "depends_on", "liveness_probe", "readiness_probe", "ready_log_line"),
    *("shutdown", "working_dir", "namespace", "replicas", "vars", "is_foreground", "is_tty", "is_elevated"),
    *("is_interactive", "is_dotenv_disabled", "schedule", "watch", "is_template_disabled", "success_exit_codes"),
)

LOGGER = {
    "fields_order": "a line has its time first",
    "no_color": "lines are kept as they are",
    "flush_each_line": "lines are written as they come",
}
"""Advice by the key of ``log_configuration``."""

DEPENDENCY = {
    "process_started": "started",
    "process_healthy": "ready",
    "process_log_ready": "ready",
    "process_completed": "finished",
    "process_completed_successfully": "success",
}
"""Our condition by that of process-compose."""

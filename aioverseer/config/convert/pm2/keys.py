"""All keys of pm2: those that are lost, with advice, other names of the same key, and the names of the rest."""

from __future__ import annotations

__all__ = ["ALIASES", "APP", "LOST_IN_APP"]

_SERVICE_OF_PM2 = "it is about the service of pm2 on the web"
_NODE = "pass it to node: write it into interpreter_args, or NODE_OPTIONS"

LOST_IN_APP = {
    "install_url": "the address of a package has no use here",
    "filter_env": "write env for the whole environment, in place of the inherited one",
    "pid_file": "process ids are kept in memory; aioverseer knows them",
    "source_map_support": _NODE,
    "disable_source_map_support": _NODE,
    "shutdown_with_message": "write stop = {steps = [{command = [...], timeout = 5}]}, or let SIGINT end the program",
    "listen_timeout": "there is no probe for it; write ready and ready_timeout",
    "vizion": "versions of the code are not looked at",
    "watch_options": "write watch = {paths = [...], exclude = [...]}",
    "force": "a service has one name, and runs once",
    "append_env_to_name": "give each service its own name",
    "name_prefix": "give each service its own name",
    "post_update": "run the commands by hand",
    "trace": _SERVICE_OF_PM2,
    "disable_trace": _SERVICE_OF_PM2,
    "v8": _SERVICE_OF_PM2,
    "event_loop_inspector": _SERVICE_OF_PM2,
    "deep_monitoring": _SERVICE_OF_PM2,
    "pmx": _SERVICE_OF_PM2,
    "automation": _SERVICE_OF_PM2,
    "io": _SERVICE_OF_PM2,
    "write": _SERVICE_OF_PM2,
    "increment_var": "write {index} or {port} into the variable",
    "username": "pm2 sets it by itself; write user",
    "windowsHide": "it is for Windows",
    "kill_retry_time": "the end of a program is noticed at once",
}
"""Advice by the key of an app."""

ALIASES = {
    "exec": "script",
    "cmd": "script",
    "command": "script",
    "interpreter": "exec_interpreter",
    "interpreterArgs": "node_args",
    "interpreter_args": "node_args",
    "out": "out_file",
    "output": "out_file",
    "out_log": "out_file",
    "error": "error_file",
    "err": "error_file",
    "err_file": "error_file",
    "err_log": "error_file",
    "log": "log_file",
    "pid": "pid_file",
    "cron": "cron_restart",
    "combine_logs": "merge_logs",
    "user": "uid",
    "ignoreWatch": "ignore_watch",
}
"""The name in the table by another name of the same key."""

APP = tuple(
    "script name namespace cwd args exec_interpreter node_args out_file error_file log_file disable_logs log_type "
    "log_date_format time env max_memory_restart restart_delay exp_backoff_restart_delay wait_ready instances "
    "kill_timeout cron_restart merge_logs autostart autorestart stop_exit_codes watch_delay watch ignore_watch "
    "min_uptime max_restarts execute_command exec_mode instance_var treekill port uid gid".split()
)
"""Keys of an app that have an option here. Each ``env_`` and a name is one more."""

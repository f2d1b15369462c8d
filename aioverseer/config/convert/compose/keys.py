"""All keys of compose: those that are lost, with advice, and the names of the others."""

from __future__ import annotations

__all__ = ["DEPENDENCY", "DEPLOY", "LOST_IN_DEPLOY", "LOST_IN_PROJECT", "LOST_IN_SERVICE", "PROJECT", "SERVICE"]

_CONTAINER = "it is about the container, and a program of this machine has none"
_NETWORK = "programs use the network of this machine"
_FILES = "programs use the files of this machine"
_IMAGE = "there is no image; install the program on this machine"
_PROCESSOR = "a share of the processors has no form here; write cpu_max or nice"
_MEMORY = "only a limit of memory has a form here: memory_max"
_PRIVILEGES = "a program has the privileges of the user that runs it; write user, or ambient_capabilities"
_METADATA = "there is no text for other tools; keep it as a comment"

LOST_IN_PROJECT = {
    "include": "convert each of these files too, and name them in one: include = ['other.toml']",
    "networks": _NETWORK,
    "volumes": _FILES,
    "secrets": "write the values into an env_file that others cannot read",
    "configs": _FILES,
    "models": "run the model as a service of its own",
}
"""Advice by the key at the top of the file."""

PROJECT = ("version", "name", "services")

LOST_IN_SERVICE = {
    "annotations": _METADATA,
    "attach": "all output is shown",
    "blkio_config": "write io_class for the priority on disks",
    "cap_add": _PRIVILEGES,
    "cap_drop": _PRIVILEGES,
    "cgroup": _CONTAINER,
    "cgroup_parent": _CONTAINER,
    "configs": _FILES,
    "container_name": "the name is the key of the service",
    "cpu_count": _PROCESSOR,
    "cpu_percent": _PROCESSOR,
    "cpu_shares": _PROCESSOR,
    "cpu_quota": _PROCESSOR,
    "cpu_period": _PROCESSOR,
    "cpu_rt_period": _PROCESSOR,
    "cpu_rt_runtime": _PROCESSOR,
    "credential_spec": _CONTAINER,
    "device_cgroup_rules": _CONTAINER,
    "devices": "programs use the devices of this machine",
    "dns": _NETWORK,
    "dns_opt": _NETWORK,
    "dns_search": _NETWORK,
    "domainname": _NETWORK,
    "expose": "a program listens by itself",
    "external_links": _NETWORK,
    "extra_hosts": "write the names into /etc/hosts",
    "gpus": "programs use the devices of this machine",
    "group_add": "the groups of a container are not those of this machine; write extra_groups",
    "hostname": _NETWORK,
    "image": _IMAGE,
    "ipc": _CONTAINER,
    "isolation": _CONTAINER,
    "label_file": _METADATA,
    "labels": _METADATA,
    "links": "write after for the order, and the address localhost in its environment",
    "mac_address": _NETWORK,
    "mem_reservation": _MEMORY,
    "mem_swappiness": _MEMORY,
    "memswap_limit": _MEMORY,
    "models": "run the model as a service of its own",
    "network_mode": _NETWORK,
    "networks": _NETWORK,
    "oom_kill_disable": "write oom_score_adj = -1000, which needs root",
    "pid": _CONTAINER,
    "platform": _IMAGE,
    "ports": "a program listens by itself, on the port that others look for",
    "post_start": "write a service of its own with after, or prepare for a command that comes before",
    "pre_stop": "write stop = {steps = [{command = [...], timeout = 5}, ['SIGTERM', 10]]}",
    "privileged": _PRIVILEGES,
    "provider": "run the provider by hand",
    "pull_policy": _IMAGE,
    "pull_refresh_after": _IMAGE,
    "read_only": _FILES,
    "runtime": _CONTAINER,
    "secrets": "write the values into an env_file that others cannot read",
    "shm_size": _CONTAINER,
    "stdin_open": "write stdin = 'inherit' for one service, or pty = true",
    "storage_opt": _CONTAINER,
    "sysctls": "set them for this machine by sysctl",
    "tmpfs": _FILES,
    "use_api_socket": _CONTAINER,
    "user": "the users of a container are not those of this machine; write user = 'name'",
    "userns_mode": _CONTAINER,
    "uts": _CONTAINER,
    "volumes": _FILES,
    "volumes_from": _FILES,
}
"""Advice by the key of a service."""

SERVICE = (
    *("build", "command", "cpus", "cpuset", "depends_on", "deploy", "develop", "entrypoint", "env_file", "environment"),
    *("extends", "healthcheck", "init", "logging", "mem_limit", "oom_score_adj", "pids_limit", "profiles", "restart"),
    *("scale", "security_opt", "stop_grace_period", "stop_signal", "tty", "ulimits", "working_dir"),
)

LOST_IN_DEPLOY = {
    "endpoint_mode": _NETWORK,
    "labels": _METADATA,
    "rollback_config": "a roll that fails brings the old ones back by the rules of roll",
    "placement": "there is one machine",
}
"""Advice by the key of ``deploy``."""

DEPLOY = ("mode", "replicas", "update_config", "resources", "restart_policy")

DEPENDENCY = {
    "service_started": "started",
    "service_healthy": "ready",
    "service_completed_successfully": "success",
}
"""Our condition by that of compose."""

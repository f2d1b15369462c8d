"""Checks of the options of a Spec. A check raises a SpecError, or returns the value in its final form.

``_CHECKS`` has a row for each option, ``_TOGETHER`` for options that depend on others. No check asks the operating
system: whether a program, a user or a folder exists is found out at the launch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from aioverseer.core.errors import SpecError
from aioverseer.core.options.after import as_after
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.checker import Checker
from aioverseer.core.options.command_checks import (
    check_argv,
    check_environment,
    check_fed,
    check_ladder,
    check_ladder_of_alive,
    check_stdin,
)
from aioverseer.core.options.composition import Probe, leaves
from aioverseer.core.options.containment import check_asked
from aioverseer.core.options.foreign import answer_to
from aioverseer.core.options.give_up import check_on_give_up
from aioverseer.core.options.held_socket import check_listen, check_listening, check_on_demand
from aioverseer.core.options.hooks import check_hook
from aioverseer.core.options.keywords import Leftovers, SpecOptions
from aioverseer.core.options.log import LogFile, as_logs
from aioverseer.core.options.main_pid import check_main_pid, check_main_pid_kills
from aioverseer.core.options.output_checks import (
    check_destination,
    check_encoding,
    check_errors,
    check_framed,
    check_framing,
    check_replacing,
    check_streaming,
    check_streams,
    check_unread,
    check_window,
)
from aioverseer.core.options.privileges import check_capabilities, check_cpus, check_io_class
from aioverseer.core.options.recycle import Recycle
from aioverseer.core.options.reload import check_reload
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.roll import Roll
from aioverseer.core.options.schedule_base import Schedule
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.system_checks import (
    check_groups,
    check_ports,
    check_processors,
    check_rlimits,
    check_umask,
    check_user,
)
from aioverseer.core.options.unknown import hint_for_name
from aioverseer.core.options.watch import Watch

__all__ = ["OPTIONS", "all_refusals", "check_names", "check_options", "refuse_options_of_services"]

_NICE = range(-20, 20)
_OOM_SCORES = range(-1000, 1001)
_PROBE = "pass for example ready.tcp(8000)"
_WHERE_FILLED = "which only instances have, and services with port=: use add_instances, or pass port=range(9000, 9100)"

OPTIONS = frozenset(SpecOptions.__annotations__)


def check_names(id: str, options: Mapping[str, Any]) -> None:
    """Check the names of options.

    Args:
        id: Id of the service, for the message.
        options: Options as keywords.

    Raises:
        SpecError: For an unknown name, with what to write in place of the word of another tool, or else with the most
            similar name that exists.
    """
    for name in options:
        if name not in OPTIONS:
            hint = _hint(name)
            raise SpecError(f"service {id!r}: there is no option {name!r}; {hint}", option=name, value=options[name])


def _hint(name: str) -> str:
    if (answer := answer_to(name)) is not None:
        return answer
    return hint_for_name(name, OPTIONS)


def check_options(
    id: str, argv: object, given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    """Check the options of a Spec, and yield each name with its value in its final form.

    Args:
        id: Id of the service.
        argv: Program and its arguments.
        given: Values of the options that are not at their defaults.
        defaults: Default values of all options.

    Raises:
        SpecError: Naming the service, the option and the value.
    """
    _check_id(id)
    check = Checker(id)
    yield "argv", check_argv(check, argv)
    checked = {name: _CHECKS[name](check, value) for name, value in given.items()}
    together = _TOGETHER.keys() & checked.keys()
    if together:
        values = {**defaults, **checked}
        for name in checked:
            if name in together:
                _TOGETHER[name](check, values)
    yield from checked.items()


def _check_id(id: object) -> None:
    if not isinstance(id, str) or not id or not id.isprintable() or id != id.strip():
        raise SpecError(
            f"id={id!r} is no name for a service: pass a non-empty str without blanks at its ends",
            option="id",
            value=id,
        )


def all_refusals(id: Any, argv: object, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[SpecError]:
    """Return everything that ``check_options`` would refuse, one thing after the other.

    Options that depend on a refused one are not judged.

    Args:
        id: Id of the service.
        argv: Program and its arguments.
        given: Values of the options that are not at their defaults.
        defaults: Default values of all options.
    """
    found: list[SpecError] = []
    check = Checker(id)
    checked: dict[str, object] = {}
    tests: dict[str, Callable[[], object]] = {
        "id": lambda: _check_id(id),
        "argv": lambda: check_argv(check, argv),
        **{name: functools.partial(_CHECKS[name], check, value) for name, value in given.items()},
    }
    for name, test in tests.items():
        try:
            checked[name] = test()
        except SpecError as error:
            found.append(error)
    wrong = {name for name in given if name not in checked}
    values = {**defaults, **checked}
    for name in given:
        if name not in _TOGETHER or name in wrong:
            continue
        try:
            _TOGETHER[name](check, values)
        except SpecError as error:
            if not any(f"{each}=" in str(error) for each in wrong):
                found.append(error)
    return found


_OF_SERVICES = frozenset(
    "restart group log after critical recycle watch reload prepare cleanup instances port listen on_demand "
    "schedule".split()
)


def refuse_options_of_services(options: SpecOptions) -> None:
    """Refuse options that make no sense for a lone Process.

    Raises:
        SpecError: Naming an alternative.
    """
    if _OF_SERVICES.isdisjoint(options):
        return
    for name in ("restart", "group", "instances", "port"):
        if name in options:
            value = options.get(name)
            raise SpecError(
                f"{name}={value!r} is for a Service, a Process runs once: use Overseer.add"
                f"{'_instances' if name == 'instances' else ''}",
                option=name,
                value=value,
            )
    for option in "log after critical recycle watch reload prepare cleanup listen on_demand schedule".split():
        if (given := options.get(option)) not in (None, (), False, {}):
            instead = ", or read the lines" if option == "log" else ""
            raise SpecError(
                f"{option}={given!r} is for a Service: use Overseer.add{instead}", option=option, value=given
            )


def _ready(check: Checker, value: object) -> object:
    if not isinstance(value, Probe):
        wrapped = callable(value) and getattr(value, "__module__", None) != "aioverseer.ready"
        raise check.refuse("ready", value, f"is no probe: {'wrap it in ready.check(...)' if wrapped else _PROBE}")
    return value


def _alive(check: Checker, value: object) -> object:
    return check.kind("alive", value, Alive, "an Alive, for example Alive(ready.tcp(8000), every=10)")


def _schedule(check: Checker, value: object) -> object:
    if not isinstance(value, Schedule):
        raise check.refuse("schedule", value, "is no schedule: pass Cron('30 2 * * *') or Every(300)")
    return value


def _alone(check: Checker, values: Mapping[str, Any]) -> None:
    """Refuse options that cannot go with a schedule."""
    reasons = {
        "critical": "it would end for good only when it is stopped",
        "significant": "it would never end by itself",
        "on_demand": "one of both must start it",
    }
    for name, why in reasons.items():
        if values.get(name):
            raise check.refuse(name, values[name], f"cannot go with schedule=: {why}")


def _significance(check: Checker, values: Mapping[str, Any]) -> None:
    significant = values["significant"]
    if not values["group"]:
        raise check.refuse("significant", significant, "counts for a group, and it is in none: pass group=")
    if values["restart"].when == "always":
        raise check.refuse("significant", significant, 'cannot go with Restart("always"): it would never end by itself')


def _containment(check: Checker, value: Any) -> object:
    check_asked(value, f"service {check.id!r}")
    return value


def _after(check: Checker, value: Any) -> object:
    return as_after(value, owner=check.id)


def _on_give_up(check: Checker, value: Any) -> object:

    check_on_give_up(value, f"service {check.id!r}")
    return value


def _log(check: Checker, value: Any) -> object:
    return as_logs(value, owner=f"service {check.id!r}")


def _filled_ready(check: Checker, values: Mapping[str, Any]) -> None:
    _check_filled(check, values, "ready", values["ready"])


def _filled_alive(check: Checker, values: Mapping[str, Any]) -> None:
    check_ladder_of_alive(check, values)
    _check_filled(check, values, "alive", values["alive"].probe)


def _check_filled(check: Checker, values: Mapping[str, Any], option: str, probe: Probe) -> None:
    if _fills(values) or not any(leaf.is_template for leaf in leaves(probe)):
        return
    raise check.refuse(option, values[option], f"has a placeholder, {_WHERE_FILLED}")


def _filled_log(check: Checker, values: Mapping[str, Any]) -> None:
    if not _fills(values) and any(isinstance(log, LogFile) and log.words_of_run for log in values["log"]):
        raise check.refuse("log", values["log"], f"has a placeholder of a run in its path, {_WHERE_FILLED}")


def _fills(values: Mapping[str, Any]) -> bool:
    return values["instances"] is not None or values["port"] is not None or bool(values["listen"])


_CHECKS: dict[str, Callable[[Checker, Any], object]] = {
    "cwd": lambda check, value: check.path("cwd", value),
    "env": lambda check, value: check_environment(check, "env", value),
    "extra_env": lambda check, value: check_environment(check, "extra_env", value),
    "stdin": check_stdin,
    "pty": lambda check, value: check.flag("pty", value),
    "window_size": lambda check, value: check_window(check, "window_size", value),
    "output": lambda check, value: check_destination(check, "output", value),
    "stdout": lambda check, value: check_destination(check, "stdout", value),
    "stderr": lambda check, value: check_destination(check, "stderr", value),
    "buffered": lambda check, value: check.flag("buffered", value),
    "streaming": check_streaming,
    "merge_stderr": lambda check, value: check.flag("merge_stderr", value),
    "framing": check_framing,
    "encoding": check_encoding,
    "errors": check_errors,
    "line_limit": lambda check, value: check.whole("line_limit", value, least=16, unit="bytes"),
    "queue_size": lambda check, value: check.whole("queue_size", value, least=1, unit="lines"),
    "drain_timeout": lambda check, value: check.seconds("drain_timeout", value),
    "leftovers": lambda check, value: check.one_of("leftovers", value, get_args(Leftovers)),
    "main_pid": check_main_pid,
    "containment": _containment,
    "memory_max": lambda check, value: check.whole("memory_max", value, least=4096, unit="bytes"),
    "pids_max": lambda check, value: check.whole("pids_max", value, least=1, unit="processes"),
    "cpu_max": check_processors,
    "user": check_user,
    "extra_groups": check_groups,
    "umask": check_umask,
    "nice": lambda check, value: check.within("nice", value, _NICE),
    "rlimits": check_rlimits,
    "no_new_privileges": lambda check, value: check.flag("no_new_privileges", value),
    "oom_score_adj": lambda check, value: check.within("oom_score_adj", value, _OOM_SCORES),
    "cpus": check_cpus,
    "io_class": check_io_class,
    "ambient_capabilities": check_capabilities,
    "delay_start": lambda check, value: check.seconds("delay_start", value),
    "max_runtime": lambda check, value: check.more("max_runtime", value),
    "schedule": _schedule,
    "stop": lambda check, value: check.kind("stop", value, Stop, "a Stop, for example Stop(signal=SIGINT, timeout=5)"),
    "prepare": lambda check, value: check_hook(check, "prepare", value),
    "cleanup": lambda check, value: check_hook(check, "cleanup", value),
    "reload": check_reload,
    "restart": lambda check, value: check.kind("restart", value, Restart, 'a Restart, for example Restart("always")'),
    "recycle": lambda check, value: check.kind("recycle", value, Recycle, "a Recycle, for example Recycle(age=86400)"),
    "watch": lambda check, value: check.kind("watch", value, Watch, 'a Watch, for example Watch("src")'),
    "ready": _ready,
    "ready_timeout": lambda check, value: (
        None if value is None else check.seconds("ready_timeout", value, none="for no limit")
    ),
    "alive": _alive,
    "roll": lambda check, value: check.kind("roll", value, Roll, "a Roll, for example Roll(surge=1, min_ready=2)"),
    "after": _after,
    "critical": lambda check, value: check.flag("critical", value),
    "on_give_up": _on_give_up,
    "group": lambda check, value: check.kind("group", value, str, "a str"),
    "significant": lambda check, value: check.flag("significant", value),
    "log": _log,
    "instances": lambda check, value: check.whole("instances", value, least=0, unit="services"),
    "port": check_ports,
    "listen": check_listen,
    "on_demand": lambda check, value: check.flag("on_demand", value),
}
"""Check of each option; it returns the value in its final form."""
_TOGETHER: dict[str, Callable[[Checker, Mapping[str, Any]], None]] = {
    "stdin": check_fed,
    "errors": check_replacing,
    "output": check_unread,
    "stdout": check_unread,
    "stderr": check_unread,
    "streaming": check_streams,
    "framing": check_framed,
    "schedule": _alone,
    "significant": _significance,
    "stop": check_ladder,
    "ready": _filled_ready,
    "alive": _filled_alive,
    "log": _filled_log,
    "main_pid": check_main_pid_kills,
    "listen": check_listening,
    "on_demand": check_on_demand,
}
"""Checks of an option together with others, made once each option alone is valid."""

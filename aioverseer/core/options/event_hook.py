"""EventHook: a command that is started for each event of some kinds, and the rule for which events."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.checker import Checker
from aioverseer.core.options.command_checks import check_command, check_environment
from aioverseer.core.options.event_hook_data import hook_form, read_event_hook
from aioverseer.core.options.event_words import WORDS
from aioverseer.core.options.unknown import answers_unknown, hint_for_name
from aioverseer.core.state import State
from aioverseer.core.typing import PathLike

__all__ = ["EventHook", "is_wanted"]

_MEANT = {
    word: answer
    for words, answer in (
        ("failure fail crash crashed error onfailure abnormal", "failed"),
        ("exit exited exits done success onsuccess completed ended end", "finished"),
        ("ready start started up healthy online", "running"),
        ("restart restarting restarted retry", "backoff"),
        ("gave-up gaveup give-up giveup given-up dead", "fatal"),
        ("stopped killed interrupt", "interrupted"),
        ("unhealthy watchdog liveness", "health"),
        ("all any event events *", "state"),
        ("update updated reloaded removed", "change"),
    )
    for word in words.split()
}
"""Words of other tools, in small letters."""


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class EventHook:
    """A command that an overseer starts for events, with the event as JSON on its standard input.

    The JSON is that of ``Event.to_json``, on one line. A command that fails makes a log record and no event, so no hook
    starts another one. The environment is that of the host, with ``extra_env``.

    Attributes:
        on: Texts of states (``"fatal"``: a service enters this state), kinds of events (``"health"``), or ``"failed"``:
            a service has ended for good, or a run of its schedule, and that was a failure which nobody has asked for.
            ``"state"`` is every change of state.
        run: The command and its arguments, taken literally: no shell.
        services: Names of services, or of sets of instances, that may be added later; None for all.
        timeout: Seconds after which a run of the command gets SIGTERM, and SIGKILL two seconds later.
        max_running: Runs of the command at once. With 1, they keep the order of the events.
        cwd: Working directory of the command; None for that of the host.
        extra_env: Variables in addition to those of the host.
    """

    on: tuple[str, ...]
    run: tuple[str, ...]
    services: tuple[str, ...] | None
    timeout: float
    max_running: int
    cwd: str | None
    extra_env: Mapping[str, str]

    def __init__(
        self,
        *,
        on: str | State | Iterable[str | State],
        run: Iterable[str | PathLike],
        services: str | Iterable[str] | None = None,
        timeout: float = 30.0,
        max_running: int = 1,
        cwd: str | PathLike | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        check = Checker("", owner="EventHook")
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "run", _command(check, run))
        settle(self, "on", _words(on))
        settle(self, "services", None if services is None else _names(services))
        settle(self, "timeout", check.more("timeout", timeout))
        settle(self, "max_running", check.whole("max_running", max_running, least=1, unit="runs"))
        settle(self, "cwd", None if cwd is None else check.path("cwd", cwd))
        settle(self, "extra_env", check_environment(check, "extra_env", {} if extra_env is None else extra_env))

    def to_dict(self) -> dict[str, Any]:
        """Return the hook as JSON values, with the names of files. Options at their defaults are left out."""
        plain: dict[str, object] = {"services": None, "timeout": 30.0, "max_running": 1, "cwd": None, "extra_env": {}}
        given = {name: getattr(self, name) for name in hook_form().fields}
        said = {name: value for name, value in given.items() if name not in plain or value != plain[name]}
        return cast("dict[str, Any]", hook_form().write(said))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a hook from JSON values: ``{"on": "failed", "run": ["./notify.sh"]}``.

        Raises:
            SpecError: For an unknown or missing option, or a value that an option does not take.
        """
        return cast("Self", read_event_hook(cls, data))

    @property
    def id(self) -> str:
        """The name of the command in messages and logs, for example ``hook notify.sh``."""
        return f"hook {self.run[0].rpartition('/')[2] or self.run[0]}"


def is_wanted(hook: EventHook, words: Collection[str], names: Collection[str]) -> bool:
    """Return whether an event starts the command of a hook.

    Args:
        hook: The hook.
        words: The words that describe the event, of ``WORDS``.
        names: The names of its service: the id, and the name of the set if it is an instance.
    """
    return any(word in hook.on for word in words) and (
        hook.services is None or any(name in hook.services for name in names)
    )


def _command(check: Checker, run: object) -> tuple[str, ...]:
    if isinstance(run, str):
        try:
            words = shlex.split(run)
        except ValueError:  # a quotation that is not closed
            words = run.split()
        raise _refused("run", run, f"is one text: write run={words!r}")
    if isinstance(run, bytes) or not isinstance(run, Iterable):
        what = "; a function of the application reads overseer.events()" if callable(run) else ""
        raise _refused("run", run, f"is no command: pass a list of words{what}")
    return check_command(check, "run", cast("Iterable[object]", run))


def _words(on: object) -> tuple[str, ...]:
    given = _listed(on)
    if not given:
        raise _refused("on", on, f"name no event: pass for example on='failed'; there are {', '.join(WORDS)}")
    words = [str(word) if isinstance(word, State) else word for word in given]
    for word in words:
        if word not in WORDS:
            raise _refused("on", word, f"names no event: {_meant(word)}")
    return tuple(dict.fromkeys(cast("list[str]", words)))


def _meant(word: object) -> str:
    if not isinstance(word, str):
        return f"pass {', '.join(map(repr, WORDS))}"
    plain = word.lower().removeprefix("process_state_")
    if plain in WORDS:
        return f"write {plain!r}"
    return f"write {_MEANT[plain]!r}" if plain in _MEANT else hint_for_name(plain, WORDS)


def _names(services: object) -> tuple[str, ...]:
    given = _listed(services)
    if not given or not all(isinstance(name, str) and name for name in given):
        raise _refused("services", services, "names no service: pass names, or leave it out for all services")
    return tuple(dict.fromkeys(cast("list[str]", given)))


def _listed(value: Any) -> list[object]:
    """Return several values, or one as a list of one."""
    return [value] if isinstance(value, str | State) or not hasattr(value, "__iter__") else list(value)


def _refused(option: str, value: object, why: str) -> SpecError:
    return SpecError(f"EventHook: {option}={value!r} {why}", option=option, value=value)

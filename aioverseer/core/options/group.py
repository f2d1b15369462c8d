"""Group: what the user says of services that share a fate, what becomes of it, and what follows a giving up.

Values only. Whom a failure concerns is decided in ``groups.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.give_up import OnGiveUp, check_on_give_up
from aioverseer.core.options.restart import Restart

__all__ = ["AutoShutdown", "Group", "Strategy"]

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
"""Who is restarted with a member that is restarted; see ``Group``."""
AutoShutdown = Literal["never", "any_significant", "all_significant"]
"""When a group ends because members of it have; see ``Group``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Services that share a fate; made by ``Overseer.group``.

    Attributes:
        name: Its name; services join it by their option ``group``.
        strategy: ``"one_for_one"``: a member that fails is restarted alone. ``"one_for_all"``: all members are stopped,
            in reverse order, and started again in order. ``"rest_for_one"``: the same for it and those added after it.
        restart: The one budget and backoff of all members, and what this group is to its parent: restarted when it has
            ended (``"always"``), when it has given up (``"on-failure"``), or not (``"never"``).
        parent: The group that it is a member of; empty for none.
        auto_shutdown: Whether the group ends once a significant member has ended by itself without being restarted
            (``"any_significant"``), or once the last one has (``"all_significant"``).
        on_give_up: What follows when it has given up, and is not restarted by its parent; see ``OnGiveUp``.
        significant: Whether its end counts for ``auto_shutdown`` of its parent.
    """

    name: str
    strategy: Strategy = "one_for_one"
    restart: Restart = Restart()  # noqa: RUF009  # frozen: one for all
    parent: str = ""
    auto_shutdown: AutoShutdown = "never"
    on_give_up: OnGiveUp = "leave"
    significant: bool = False

    def __post_init__(self) -> None:
        """Check every option.

        Raises:
            SpecError: Naming the group, the option and the value.
        """
        name: object = self.name
        if not isinstance(name, str) or not name or name != name.strip():
            raise SpecError(
                f"group name={name!r} is no name: pass a non-empty str without blanks at its ends",
                option="name",
                value=name,
            )
        for option, known in (("strategy", get_args(Strategy)), ("auto_shutdown", get_args(AutoShutdown))):
            if getattr(self, option) not in known:
                raise self.refuse(option, f"is unknown: pass {' or '.join(map(repr, known))}")
        if not isinstance(self.restart, Restart):
            raise self.refuse("restart", "is no policy: pass a Restart, for example Restart(max_restarts=3, within=60)")
        parent: object = self.parent
        if not isinstance(parent, str):
            raise self.refuse("parent", "is no name: pass the name of a group")
        check_on_give_up(self.on_give_up, f"group {self.name!r}")
        if self.significant not in (True, False):
            raise self.refuse("significant", "is unknown: pass True or False")
        if self.significant and not self.parent:
            raise self.refuse("significant", "counts for a parent, and it has none: pass parent=, or leave it out")
        if self.significant and self.restart.when == "always":
            raise self.refuse("significant", 'cannot go with restart "always": it would never end by itself')

    def refuse(self, option: str, why: str) -> SpecError:
        """Return the error for one of its options."""
        value = getattr(self, option)
        return SpecError(f"group {self.name!r}: {option}={value!r} {why}", option=option, value=value)

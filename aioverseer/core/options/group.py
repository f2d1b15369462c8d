"""Group: the options of a group of services with a common restart strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, cast, get_args

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.give_up import OnGiveUp, check_on_give_up
from aioverseer.core.options.meant import hint_for
from aioverseer.core.options.restart import Restart

__all__ = ["AutoShutdown", "Group", "Strategy"]

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
"""Choice of members that are restarted together; see ``Group``."""
AutoShutdown = Literal["never", "any_significant", "all_significant"]
"""Condition for the end of a group after the end of members; see ``Group``."""


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Services with a common restart strategy and budget; made by ``Overseer.group``.

    Attributes:
        name: Name of the group; services join it by their option ``group``.
        strategy: ``"one_for_one"``: a member that fails is restarted alone. ``"one_for_all"``: all members are stopped,
            in reverse order, and started again in order. ``"rest_for_one"``: the same for the failed member and
            those added after it.
        restart: One budget and backoff for all members. ``when`` decides whether the parent restarts this group:
            after each end (``"always"``), after it has given up (``"on-failure"``), or not at all (``"never"``).
        parent: Name of the group that this one is a member of; empty for none.
        auto_shutdown: Condition for the end of the group. ``"any_significant"``: a significant member has ended by
            itself without being restarted. ``"all_significant"``: the last significant member has.
        on_give_up: Consequence when the group has given up and its parent does not restart it; see ``OnGiveUp``.
        significant: Whether the end of this group counts for ``auto_shutdown`` of its parent.
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
                meant = str(getattr(self, option)).lower().replace("-", "_").replace(" ", "_")
                written = f"; write {meant!r}" if meant in known else ""
                raise self.refuse(option, f"is unknown: pass {' or '.join(map(repr, known))}{written}")
        restart: object = self.restart
        if not isinstance(restart, Restart):
            why = "is no policy: pass a Restart, for example Restart(max_restarts=3, within=60)"
            hint = hint_for("restart", restart)
            raise self.refuse("restart", why if hint is None else f"{why}; {hint}")
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

    @classmethod
    def from_dict(cls, name: str, data: Mapping[str, Any]) -> Self:
        """Make a group from JSON values, with the names of files: ``{"strategy": "one_for_all"}``.

        Args:
            name: Name of the group.
            data: Its options.

        Raises:
            SpecError: For an unknown option, or a value that an option does not take.
        """
        from aioverseer.core.options.group_data import read_group  # noqa: PLC0415  # few hosts need it

        return cast("Self", read_group(cls, name, data))

    def refuse(self, option: str, why: str) -> SpecError:
        """Return the error for one option of the group."""
        value = getattr(self, option)
        return SpecError(f"group {self.name!r}: {option}={value!r} {why}", option=option, value=value)

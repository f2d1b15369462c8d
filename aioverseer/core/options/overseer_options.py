"""OverseerOptions: the options of an Overseer that are plain values, for files and control interfaces.

``FORMS_OF_OVERSEER`` has a row for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import AskedContainment, check_asked
from aioverseer.core.options.flaws import DataError
from aioverseer.core.options.form import Form
from aioverseer.core.options.forms import OrNone, Record
from aioverseer.core.options.leaf_forms import FLAG, Number, Whole
from aioverseer.core.options.log import Log, as_logs
from aioverseer.core.options.overseer import check_max_starting, check_overseer_options, check_rate
from aioverseer.core.options.spec_data import CONTAINMENT, FORMS

__all__ = ["FORMS_OF_OVERSEER", "OverseerOptions", "overseer_form"]


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class OverseerOptions:
    """Options of an Overseer that data can describe, with the meanings and defaults of ``Overseer``.

    ``Overseer(**options.keywords())`` takes them.

    Attributes:
        handle_signals: Whether signals end the block of the overseer.
        shutdown_timeout: Seconds that leaving may take; None leaves this to the ladders.
        restart_rate: Restarts a second of all services together; None is no limit.
        max_starting: Number of programs that may start at once; None is no limit.
        raise_fd_limit: Whether to raise the limit of open descriptors.
        notify_systemd: Whether to report to systemd.
        log: Logs of all services without a ``log`` of their own.
        containment: How surely nothing is left behind.
    """

    handle_signals: bool = False
    shutdown_timeout: float | None = None
    restart_rate: float | None = None
    max_starting: int | None = None
    raise_fd_limit: bool = False
    notify_systemd: bool = False
    log: tuple[Log, ...] | None = None
    containment: AskedContainment = "auto"

    def __post_init__(self) -> None:
        """Check every option.

        Raises:
            SpecError: Naming the option and the value.
        """
        check_overseer_options(
            name="overseer",
            shutdown_timeout=self.shutdown_timeout,
            handle_signals=self.handle_signals,
            raise_fd_limit=self.raise_fd_limit,
            notify_systemd=self.notify_systemd,
            clock=None,
            rng=None,
        )
        if self.restart_rate is not None:
            check_rate(self.restart_rate)
        if self.max_starting is not None:
            check_max_starting(self.max_starting)
        check_asked(self.containment, "overseer")
        object.__setattr__(self, "log", as_logs(self.log, owner="overseer"))

    def keywords(self) -> dict[str, Any]:
        """Return the options that are not at their defaults, as keywords of ``Overseer``."""
        fields = dataclasses.fields(self)
        return {each.name: getattr(self, each.name) for each in fields if getattr(self, each.name) != each.default}

    def to_dict(self) -> dict[str, Any]:
        """Return the options that are not at their defaults as JSON values, with the names of files."""
        return {name: FORMS_OF_OVERSEER[name].write(value) for name, value in self.keywords().items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make the options from the data of ``to_dict``, or of a file.

        Args:
            data: JSON values.

        Raises:
            SpecError: For an unknown option, or a value that an option does not take.
        """
        try:
            return cast("Self", _FORM.with_maker(cls).read(data))
        except DataError as error:
            raise DataError.of(error.flaws, owner="overseer: ") from None


FORMS_OF_OVERSEER: dict[str, Form] = {
    "handle_signals": FLAG,
    "shutdown_timeout": FORMS["ready_timeout"],
    "restart_rate": OrNone(Number(above=True, unit="restarts a second")),
    "max_starting": OrNone(Whole(1, unit="programs")),
    "raise_fd_limit": FLAG,
    "notify_systemd": FLAG,
    "log": FORMS["log"],
    "containment": CONTAINMENT,
}
"""The form of each option, by its name."""

_FORM = Record(OverseerOptions, FORMS_OF_OVERSEER)


@exported_from("aioverseer.forms")
def overseer_form() -> Record:
    """Return the form of OverseerOptions."""
    return _FORM

"""Cron and Every: the values of the option ``schedule``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.cron import CronFields, parse_cron
from aioverseer.core.options.numbers import expands, no_seconds
from aioverseer.core.options.schedule_base import Overlap, Schedule
from aioverseer.core.options.unknown import answers_unknown
from aioverseer.core.typing import PathLike

__all__ = ["Cron", "Every"]


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Cron(Schedule):
    """Start a service at the times of a cron expression, as the cron of Debian reads it.

    The fields are minute, hour, day of month, month and day of week, with names, ranges, lists and steps. If neither
    day begins with a star, one of both is enough. ``@hourly``, ``@daily``, ``@weekly``, ``@monthly`` and ``@yearly``
    are short forms.

    When summer time begins, a fixed hour that is skipped comes right after the gap. When it ends, an hour that comes
    twice counts the first time. With a star for minutes or hours, real time counts.

    Attributes:
        expression: Cron expression.
        timezone: Name of the zone of the expression, such as ``"Europe/Berlin"``; None is that of the host.
        overlap: Treatment of a time that comes while the run before it is under way, or waits for a restart.
            ``"skip"`` leaves it out, ``"queue"`` runs once more after that run, ``"replace"`` stops that run by its
            ladder first.
        missed: Treatment of a time that was missed because the host slept, hung, or its clock was set. ``"skip"``
            leaves it out. ``"once"`` makes up for all that were missed with one run.
        within: Seconds of delay from which on a time is missed. Below 300 a host that has slept over a time may miss
            it although it woke up in time.
        jitter: Most seconds of a random delay of each run.
        stamp: File that keeps the time of the last run, so that ``missed="once"`` also counts the time in which the
            overseer did not run. Its folder must exist.
    """

    expression: str
    timezone: str | None
    overlap: Overlap
    missed: Literal["skip", "once"]
    within: float
    jitter: float
    stamp: str | None

    def __init__(
        self,
        expression: str,
        *,
        timezone: str | None = None,
        overlap: Overlap = "skip",
        missed: Literal["skip", "once"] = "skip",
        within: float = 600.0,
        jitter: float = 0.0,
        stamp: str | PathLike | None = None,
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        if not isinstance(expression, str):
            raise _refused("Cron", "expression", expression, "is no text: pass for example '30 2 * * *'")
        try:
            parse_cron(expression)
        except ValueError as error:
            raise _refused("Cron", "expression", expression, str(error)) from None
        _check_timezone(timezone)
        _check_overlap("Cron", overlap)
        if missed not in ("skip", "once"):
            raise _refused("Cron", "missed", missed, 'is unknown: pass "skip" or "once"')
        for name, value in (("within", within), ("jitter", jitter)):
            if (why := no_seconds(value)) is not None:
                raise _refused("Cron", name, value, why)
        path = stamp.__fspath__() if isinstance(stamp, PathLike) else stamp
        if path is not None:
            if not isinstance(path, str) or not path or "\0" in path:
                raise _refused("Cron", "stamp", stamp, "is no path: pass a non-empty str or a pathlib.Path")
            if (why := expands(path)) is not None:
                raise _refused("Cron", "stamp", stamp, why)
            if missed != "once":
                raise _refused("Cron", "stamp", stamp, 'is for missed="once" alone')
        settle = object.__setattr__  # the only way to set a field of a frozen dataclass
        settle(self, "expression", expression)
        settle(self, "timezone", timezone)
        settle(self, "overlap", overlap)
        settle(self, "missed", missed)
        settle(self, "within", float(within))
        settle(self, "jitter", float(jitter))
        settle(self, "stamp", path)

    @property
    def zone(self) -> tzinfo | None:
        """Zone of ``timezone``; None is that of the host."""
        return None if self.timezone is None else ZoneInfo(self.timezone)

    @property
    def fields(self) -> CronFields:
        """Fields of the expression."""
        return _fields_of(self.expression)


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Every(Schedule):
    """Start a service each so many seconds, counted from its start and without drift.

    Real time counts, whatever the clock of the host says. Time in which the host sleeps does not count. A time that
    comes late runs late, and those that have passed meanwhile are left out.

    Attributes:
        period: Seconds from one start of a run to the next one.
        first: Time of the first run: ``"after_period"``, or ``"at_start"`` of the service.
        overlap: Treatment of a time that comes while the run before it is under way; see ``Cron``.
        jitter: Most seconds of a random delay of each run; less than the period.
    """

    period: float
    first: Literal["after_period", "at_start"]
    overlap: Overlap
    jitter: float

    def __init__(
        self,
        period: float,
        *,
        first: Literal["after_period", "at_start"] = "after_period",
        overlap: Overlap = "skip",
        jitter: float = 0.0,
    ) -> None:
        """Check and store the options.

        Raises:
            SpecError: Naming the option and the value.
        """
        if (why := no_seconds(period, least=0.001)) is not None:
            raise _refused("Every", "period", period, why)
        if first not in ("after_period", "at_start"):
            raise _refused("Every", "first", first, 'is unknown: pass "after_period" or "at_start"')
        _check_overlap("Every", overlap)
        if (why := no_seconds(jitter)) is not None:
            raise _refused("Every", "jitter", jitter, why)
        if jitter >= period:
            raise _refused("Every", "jitter", jitter, f"is too high: pass less than the period of {period:g} s")
        settle = object.__setattr__  # as above
        settle(self, "period", float(period))
        settle(self, "first", first)
        settle(self, "overlap", overlap)
        settle(self, "jitter", float(jitter))


_fields_of = functools.lru_cache(maxsize=256)(parse_cron)
"""Cached form of ``parse_cron``: each next time needs the fields."""


def _check_overlap(owner: str, overlap: object) -> None:
    if overlap == "allow":
        raise _refused(
            owner,
            "overlap",
            overlap,
            "cannot be, as a service has one run at a time: pass 'queue'",
        )
    if overlap not in ("skip", "queue", "replace"):
        raise _refused(owner, "overlap", overlap, 'is unknown: pass "skip", "queue" or "replace"')


def _check_timezone(timezone: object) -> None:
    if timezone is None:
        return
    if not isinstance(timezone, str):
        raise _refused("Cron", "timezone", timezone, 'is no name of a zone: pass for example "Europe/Berlin"')
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _refused(
            "Cron",
            "timezone",
            timezone,
            'is no zone known here: pass for example "Europe/Berlin"; where all are missing, install tzdata',
        ) from None


def _refused(owner: str, name: str, value: object, why: str) -> SpecError:
    return SpecError(f"{owner}: {name}={value!r} {why}", option="schedule", value=value)

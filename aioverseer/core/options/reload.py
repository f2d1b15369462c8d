"""The option ``reload``: a signal, a command, or the signal and the notification of systemd."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from aioverseer.core.options.checker import Checker
from aioverseer.core.options.command_checks import check_command
from aioverseer.core.state import as_signal
from aioverseer.core.typing import PathLike

__all__ = ["AnyReload", "Reload", "check_reload"]

Reload = int | tuple[str, ...] | Literal["notify"]
"""Way to reload a program, in its final form."""
AnyReload = int | Iterable[str | PathLike] | Literal["notify"]
"""Way to reload a program, as users give it."""

_SIGNALS = range(1, 65)


def check_reload(check: Checker, value: object) -> Reload | None:
    """Return the way to reload."""
    if value is None:
        return None
    if value == "notify":
        return "notify"
    if isinstance(value, int) and not isinstance(value, bool):
        if value not in _SIGNALS:
            raise check.refuse("reload", value, "is no signal: pass for example signal.SIGHUP")
        return as_signal(value)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        why = 'is no way to reload: pass a signal, a list of words such as ["nginx", "-s", "reload"], or "notify"'
        raise check.refuse("reload", value, why)
    return check_command(check, "reload", cast("Iterable[object]", value))

"""PidFile and the option ``main_pid``: how a program tells which of its processes is the main one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.checker import Checker
from aioverseer.core.options.unknown import answers_unknown
from aioverseer.core.typing import PathLike

__all__ = ["LOST_EXIT", "MainPid", "PidFile", "as_pid", "check_main_pid", "check_main_pid_kills"]

LOST_EXIT = "its parent has taken it, and this kernel does not tell it to others: Linux 6.15 does"
"""Cause of an exit that is not known, because the main process is no child of the host."""

_MAX_DIGITS = 10
"""Digits of the largest pid that a kernel gives out, with room to spare."""


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class PidFile:
    """A file in which a program writes the process id of its main process.

    Attributes:
        path: Path of the file. A relative one begins at the working directory of the program.
    """

    path: str

    def __init__(self, path: str | PathLike) -> None:
        """Check and store the path.

        Raises:
            SpecError: If the value is no path.
        """
        text = path.__fspath__() if isinstance(path, PathLike) else path
        if not isinstance(text, str) or not text or "\0" in text or text.endswith("/"):
            raise SpecError(
                f"PidFile: path={path!r} is no path of a file: pass a non-empty str or a pathlib.Path",
                option="main_pid",
                value=path,
            )
        object.__setattr__(self, "path", text)  # the only way to set a field of a frozen dataclass

    def __str__(self) -> str:
        """Return the file as words of a sentence."""
        return f"pid file {self.path!r}"


MainPid = Literal["notify"] | PidFile
"""How a program tells which of its processes is the main one; see ``Spec.main_pid``."""


def check_main_pid(check: Checker, value: Any) -> object:
    """Check the option ``main_pid``.

    Raises:
        SpecError: For another value.
    """
    if isinstance(value, PidFile) or value == "notify":
        return cast("object", value)
    is_path = isinstance(value, PathLike) or "/" in str(value)
    meant = f"PidFile({str(value)!r})" if is_path else 'PidFile("/run/web.pid"), for example'
    raise check.refuse("main_pid", value, f'is neither "notify" nor a PidFile: pass {meant}')


def check_main_pid_kills(check: Checker, values: Mapping[str, Any]) -> None:
    """Refuse ``main_pid`` for a program whose leftovers are kept.

    Raises:
        SpecError: If they are.
    """
    if values["leftovers"] != "kill":
        raise check.refuse(
            "main_pid",
            values["main_pid"],
            f"cannot go with leftovers={values['leftovers']!r}: a main process in the background is stopped with its "
            'program; pass leftovers="kill"',
        )


def as_pid(content: bytes) -> int | None:
    """Return the pid in the content of a pid file; None while there is no whole one."""
    words = content.split(None, 1)
    if not words or not words[0].isdigit() or len(words[0]) > _MAX_DIGITS:
        return None
    return int(words[0]) or None

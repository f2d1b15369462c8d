"""The argument ``by``: the name of the one who asks for a start, a stop or a change."""

from __future__ import annotations

from aioverseer.core.errors import SpecError

__all__ = ["asked", "check_by"]

_LONGEST = 200


def check_by(value: object) -> str:
    """Return the name.

    Raises:
        SpecError: If it is no text of one line, of at most 200 characters.
    """
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable() or value != value.strip():
        raise SpecError(
            f"by={value!r} is no name: pass a str of one line without blanks at its ends, for example "
            'by="alice" or by="web page"',
            option="by",
            value=value,
        )
    return value


def asked(what: str, by: str) -> str:
    """Return words about a request, with the name of the one who asked, if there is one."""
    return f"{what} by {by}" if by else what

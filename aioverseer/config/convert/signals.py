"""Names of signals, as other tools write them."""

from __future__ import annotations

from signal import Signals

__all__ = ["signal_name"]


def signal_name(text: str) -> str | None:
    """Return the name of a signal, as ``SIGTERM``, of ``TERM``, ``sigterm`` or ``15``; None if there is none."""
    word = text.strip().upper()
    if word.isdecimal():
        return next((each.name for each in Signals if each.value == int(word)), None)
    name = word if word.startswith("SIG") else f"SIG{word}"
    return name if name in Signals.__members__ else None

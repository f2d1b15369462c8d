"""The judgement of the notices of a program that reloads: whether it has done so."""

from __future__ import annotations

from aioverseer.core.text.sd_notify import Notice

__all__ = ["ReloadJudge"]


class ReloadJudge:
    """Judge of the notices after one request to reload."""

    def __init__(self, *, said_ready: bool) -> None:
        """Begin with the request.

        Args:
            said_ready: Whether the program has sent ``READY=1`` before. The first one is about its start, unless the
                program says before that it reloads.
        """
        self._counts = said_ready

    def is_done(self, notice: Notice) -> bool:
        """Return whether the program has reloaded, given its next notice."""
        counts = self._counts or notice.reloading
        self._counts = counts or notice.ready
        return counts and notice.ready

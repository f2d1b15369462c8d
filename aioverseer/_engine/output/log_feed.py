"""LogFeed: the bytes of one pipe on their way to the log files that keep them."""

from __future__ import annotations

from collections.abc import Callable

from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import RawLineSplitter

__all__ = ["LogFeed"]


class LogFeed:
    """A ``ByteSink`` that passes whole lines, with all their bytes, to the logs of a Service."""

    def __init__(self, spec: Spec, *, is_wanted: Callable[[], bool], publish: Callable[[list[bytes]], None]) -> None:
        """Connect a pipe.

        Args:
            spec: Options of the run.
            is_wanted: Function that tells whether a log keeps the bytes of this stream.
            publish: Receiver of the lines and pieces.
        """
        self._spec = spec
        self._is_wanted = is_wanted
        self._publish = publish
        self._splitter: RawLineSplitter | None = None

    def feed(self, chunk: bytes) -> None:
        """Pass on the lines that are complete now."""
        if self._splitter is None:
            if not self._is_wanted():
                return
            spec = self._spec
            self._splitter = RawLineSplitter(encoding=spec.encoding, line_limit=spec.line_limit, keeps_cr=not spec.pty)
        if lines := self._splitter.feed(chunk):
            self._publish(lines)

    def finish(self) -> None:
        """Pass on a last line without an end."""
        if self._splitter is not None and (lines := self._splitter.finish()):
            self._publish(lines)

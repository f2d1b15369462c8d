"""CommandOutput: passes the output of a command on behalf of a program to the readers of that program's lines."""

from __future__ import annotations

from collections.abc import Callable

from aioverseer._engine.output.pump import ByteSink, LineSink
from aioverseer.core.options.spec import Spec
from aioverseer.core.text.lines import LineSplitter

__all__ = ["CommandOutput"]

_STREAM = "stderr"
"""Stream whose lines these are: a reader of standard output expects nothing but the answers of the program."""


class CommandOutput:
    """The output of one command, as lines of standard error of the run on whose behalf it runs.

    A slow reader never holds the command up: its output is small, and time is limited.
    """

    def __init__(
        self, spec: Spec, line_sink: Callable[[str], LineSink], byte_sink: Callable[[str], ByteSink] | None
    ) -> None:
        """Begin without output.

        Args:
            spec: The options of the run.
            line_sink: Factory of the receiver of lines.
            byte_sink: Factory of the receiver of bytes; None without one.
        """
        self._splitter = LineSplitter(encoding=spec.encoding, errors=spec.errors, line_limit=spec.line_limit)
        self._lines = line_sink(_STREAM)
        self._bytes = None if byte_sink is None else byte_sink(_STREAM)

    def feed(self, chunk: bytes) -> None:
        """Accept a chunk of any size."""
        if self._bytes is not None:
            self._bytes.feed(chunk)
        if lines := self._splitter.feed(chunk):
            self._lines.deliver(lines)

    def end(self) -> None:
        """Deliver the rest."""
        if lines := self._splitter.finish():
            self._lines.deliver(lines)
        if self._bytes is not None:
            self._bytes.finish()
        self._lines.end()

"""The progress of the probes of one run, as text: the attempt that is under way, and the result of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aioverseer.core.options.composition import Probe
from aioverseer.core.options.probes import OutputLine, OutputPrompt

__all__ = ["ProbeProgress"]

_LONG = 0.1
"""Seconds after which an attempt is worth a mention. Most attempts take less than a millisecond."""
_SHOWN = 80
"""Characters of a line that are shown."""


@dataclass(slots=True)
class _Attempts:
    """Attempts of one probe.

    Attributes:
        number: Number of the current or last attempt.
        since: Monotonic time of its begin; None between two attempts.
        awaits: Words for the next step of the current attempt, after "waiting for".
        error: Reason why the last finished attempt failed; empty if none has finished.
    """

    number: int = 0
    since: float | None = None
    awaits: str = ""
    error: str = ""

    def describe(self, now: float) -> str:
        """Return the attempt that hangs, if one does, and the last error; empty if there is nothing to say."""
        waited = 0.0 if self.since is None else now - self.since
        if waited < _LONG:
            return self.error
        text = f"attempt {self.number} has been waiting for {waited:.1f} s for {self.awaits}"
        return f"{text}; the one before: {self.error}" if self.error else text


class ProbeProgress:
    """Records what the probes of one run have found so far."""

    def __init__(self) -> None:
        self._attempts: dict[Probe, _Attempts] = {}
        self._lines: dict[Probe, tuple[int, str | bytes]] = {}

    def begin_attempt(self, probe: Probe, now: float) -> None:
        """Record the begin of an attempt."""
        attempts = self._attempts.setdefault(probe, _Attempts())
        attempts.number += 1
        attempts.since = now
        attempts.awaits = probe.awaits

    def change(self, probe: Probe, awaits: str) -> None:
        """Record that the current attempt has come further, and what it waits for now."""
        self._attempts[probe].awaits = awaits

    def end_attempt(self, probe: Probe, error: str) -> None:
        """Record that the current attempt has failed."""
        attempts = self._attempts[probe]
        attempts.since = None
        attempts.error = error

    def fail(self, probe: Probe, error: str) -> None:
        """Record an error of a probe that makes no attempts."""
        self._attempts[probe] = _Attempts(error=error)

    def record_lines(self, probe: Probe, batch: Sequence[str | bytes]) -> None:
        """Record lines that do not match."""
        if batch:
            count, last = self._lines.get(probe, (0, batch[-1]))
            # A blank line, as after a banner, says nothing.
            self._lines[probe] = count + len(batch), next((line for line in reversed(batch) if line.strip()), last)

    def describe(self, probe: Probe, now: float) -> str:
        """Return what is known about an unfulfilled probe; empty for nothing.

        Args:
            probe: A simple probe.
            now: Monotonic seconds.
        """
        if isinstance(probe, OutputLine | OutputPrompt):
            return self._describe_lines(probe)
        attempts = self._attempts.get(probe)
        return "" if attempts is None else attempts.describe(now)

    def _describe_lines(self, probe: Probe) -> str:
        count, last = self._lines.get(probe, (0, ""))
        if not count:
            return "no line has come yet"
        text = last if isinstance(last, str) else last.decode("utf-8", "backslashreplace")
        shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
        return f"none of {count} lines matches, the last one is {shown}" if count > 1 else f"its one line is {shown}"

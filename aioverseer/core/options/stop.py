"""Stop: the ladder that stops a program, by signals and by other steps."""

from __future__ import annotations

import signal as signals
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from signal import Signals
from typing import Literal, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.meant import signal_hint
from aioverseer.core.options.numbers import expands, no_seconds
from aioverseer.core.options.stop_steps import AskingStep, CloseStdin, RunCommand, Step, StopStep, WriteStdin
from aioverseer.core.options.unknown import answers_unknown
from aioverseer.core.state import as_signal, signal_name
from aioverseer.core.typing import PathLike

__all__ = ["FINAL_TIMEOUT", "LEAST_FINAL_TIMEOUT", "Stop", "as_signal_number", "check_ladder"]

FINAL_TIMEOUT = 2.0
"""Seconds to wait for the end after SIGKILL before the program is reported as unstoppable."""

LEAST_FINAL_TIMEOUT = 1.0
"""Least number of these seconds, whatever a ladder says."""


_USUAL_TIMEOUT = 10.0


def as_signal_number(value: object, option: str) -> Signals | int:
    """Check a signal that a user has passed.

    Args:
        value: A ``signal.Signals`` or a number from 1 to 64.
        option: Name of the option, for the error.

    Raises:
        SpecError: If the value is no signal.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 64:  # noqa: PLR2004  # Linux knows 64
        hint = signal_hint(value)
        raise SpecError(
            f"{option}={value!r} is no signal: {hint or 'pass a signal.Signals, for example signal.SIGTERM'}",
            option=option,
            value=value,
        )
    return as_signal(value)


@exported_from("aioverseer")
@answers_unknown()
@dataclass(frozen=True, slots=True, init=False)
class Stop:
    """Ladder that stops a program: signals or other steps, and the time that each step waits for the end.

    SIGKILL is always the last step and is added if it is missing. The default is that of systemd and Docker: SIGTERM,
    ten seconds, SIGKILL. A step that cannot be taken, such as a command that fails, is reported, and the next step
    follows at once.

    Attributes:
        steps: Steps to take, each with the seconds to wait before the next one.
        scope: ``"tree"`` signals everything that the program started and that can be reached. ``"leader"`` signals
            the program alone, up to the last step, which always signals everything.
    """

    steps: tuple[StopStep, ...]
    scope: Literal["tree", "leader"]

    def __init__(
        self,
        signal: int = signals.SIGTERM,
        timeout: float = _USUAL_TIMEOUT,
        *,
        steps: Iterable[Sequence[float] | AskingStep] | None = None,
        scope: Literal["tree", "leader"] = "tree",
    ) -> None:
        """Make a ladder of one signal and SIGKILL, or of the given steps.

        Args:
            signal: Signal that asks the program to end; ignored with ``steps``. A bare number without a timeout is
                refused, as it may be meant as seconds.
            timeout: Seconds before the next step; ignored with ``steps``.
            steps: Pairs of signal and seconds, for example ``[(SIGINT, 5), (SIGTERM, 5)]``, and the results of
                ``Stop.close_stdin``, ``Stop.write`` and ``Stop.command``. The step of SIGKILL waits at least one second
                before a program is reported as still there.
            scope: Reach of the steps before SIGKILL: ``"tree"`` or ``"leader"``.

        Raises:
            SpecError: For a value that is no signal, a number that may be meant as seconds, a negative time, an empty
                ladder, or an unknown scope.
        """
        # The default is recognised by identity: Stop(10) means seconds, Stop(10, 10.0) a signal and seconds.
        if type(signal) is int and timeout is _USUAL_TIMEOUT and steps is None:
            raise SpecError(_ambiguous(signal), option="stop.signal", value=signal)
        if isinstance(signal, list | tuple | Mapping) and steps is None:
            raise SpecError(
                f"stop.signal={signal!r} is no signal: for several write Stop(steps=[(signal.SIGINT, 5), ...])",
                option="stop.signal",
                value=signal,
            )
        if isinstance(signal, AskingStep):
            raise SpecError(
                f"stop.signal={signal!r} is a step: write Stop(steps=[...]) with a list of steps",
                option="stop.signal",
                value=signal,
            )
        ladder: list[StopStep] = [_as_step((signal, timeout))] if steps is None else _as_steps(steps)
        if not ladder:
            raise SpecError("stop.steps is empty: name at least one (signal, seconds)", option="stop.steps")
        for step in ladder[:-1]:
            if isinstance(step, Step) and step.signal == signals.SIGKILL:
                raise SpecError(
                    "stop.steps has a step after SIGKILL, which nothing survives: make SIGKILL the last",
                    option="stop.steps",
                    value=steps,
                )
        last = ladder[-1]
        if not isinstance(last, Step) or last.signal != signals.SIGKILL:
            last = Step(signals.SIGKILL, FINAL_TIMEOUT)
            ladder.append(last)
        # Even SIGKILL takes a moment. Without a minimum every program would be reported as still there.
        ladder[-1] = Step(signals.SIGKILL, max(last.timeout, LEAST_FINAL_TIMEOUT))
        if scope not in ("tree", "leader"):
            raise SpecError(
                f'stop.scope={scope!r} is unknown: pass "tree" or "leader"', option="stop.scope", value=scope
            )
        object.__setattr__(self, "steps", tuple(ladder))
        object.__setattr__(self, "scope", scope)

    @staticmethod
    def close_stdin(timeout: float) -> CloseStdin:
        """Return a step that ends the standard input, so that the program reads end of file.

        Data that is still being written comes first. A terminal gets Ctrl-D.

        Args:
            timeout: Seconds before the next step.

        Raises:
            SpecError: For a time that is no number of seconds.
        """
        return CloseStdin(_as_seconds(timeout))

    @staticmethod
    def write(data: str | bytes, timeout: float) -> WriteStdin:
        r"""Return a step that writes to the standard input, for example ``"quit\n"``.

        Args:
            data: Text or bytes. Text is encoded with the ``encoding`` of the program.
            timeout: Seconds before the next step.

        Raises:
            SpecError: For data that is empty, or neither text nor bytes; for a time that is no number of seconds.
        """
        if not isinstance(data, str | bytes) or not data:
            raise SpecError(
                f"stop.write={data!r} is nothing to write: pass text or bytes, for example Stop.write('quit\\n', 5)",
                option="stop.write",
                value=data,
            )
        return WriteStdin(data, _as_seconds(timeout))

    @staticmethod
    def command(argv: Sequence[str | PathLike], timeout: float) -> RunCommand:
        """Return a step that runs a command, for example ``["redis-cli", "shutdown"]``.

        The command has the folder, the environment and the user of the program. ``{pid}`` in an argument becomes the
        process id of the program. A command that is still running at the end of the step is killed, with everything
        that it has started.

        Args:
            argv: The command and its arguments, taken literally: no shell.
            timeout: Seconds before the next step.

        Raises:
            SpecError: For a command that is empty or one text, or an argument that no program can get; for a time that
                is no number of seconds.
        """
        return RunCommand(_as_words(argv), _as_seconds(timeout))

    @property
    def total(self) -> float:
        """Seconds that the whole ladder takes at most."""
        return sum(step.timeout for step in self.steps)

    def __str__(self) -> str:
        """Return the ladder as words: ``SIGTERM, 10 s, SIGKILL``."""
        words: list[str] = []
        for step in self.steps[:-1]:
            words += [step.name, f"{step.timeout:g} s"]
        return ", ".join([*words, "SIGKILL"])


def check_ladder(value: object, id: str, *, is_program: bool = True) -> None:
    """Check the ladder of one stop.

    Args:
        value: A Stop; None for the ladder of the options.
        id: Name of the service, for the error.
        is_program: Whether it is a program, and no task or resource.

    Raises:
        SpecError: If it is no Stop, or has steps for a program and there is none.
    """
    if value is None:
        return
    if not isinstance(value, Stop):
        raise SpecError(
            f"{id!r}: ladder={value!r} is no ladder: pass a Stop, for example Stop(signal.SIGINT, 5)",
            option="ladder",
            value=value,
        )
    if not is_program and not all(isinstance(step, Step) for step in value.steps):
        raise SpecError(
            f"{id!r}: ladder={value} has steps for a program, its input or a command: pass signals alone",
            option="ladder",
            value=value,
        )


def _ambiguous(number: int) -> str:
    if not 1 <= number <= 64:  # noqa: PLR2004  # Linux knows 64
        return f"stop.signal={number!r} is no signal: for seconds write Stop(timeout={max(number, 0)})"
    name = signal_name(number)
    named = f"signal.{name}" if name.startswith("SIG") else f"{number}, 10"
    return (
        f"stop.signal={number!r} is the number of a signal, {name}: write Stop(timeout={number}) for seconds, or "
        f"Stop({named}) for the signal"
    )


def _as_steps(steps: Iterable[Sequence[float] | AskingStep]) -> list[StopStep]:
    given: object = steps
    if not isinstance(steps, Iterable) or isinstance(steps, Mapping):
        made = isinstance(given, AskingStep)
        raise SpecError(
            f"stop.steps={steps!r} is {'one step' if made else 'no list'}: pass "
            f"{'a list of steps' if made else 'pairs (signal, seconds)'}, for example [(signal.SIGINT, 5)]",
            option="stop.steps",
            value=given,
        )
    return [_as_step(step) for step in steps]


def _as_step(step: object) -> StopStep:
    if isinstance(step, AskingStep):
        return step
    try:
        number, seconds = cast("Iterable[object]", step)
    except (TypeError, ValueError):
        raise SpecError(
            f"stop.steps holds {step!r}: each step is a pair (signal, seconds), for example (signal.SIGINT, 5), or "
            "made by Stop.close_stdin, Stop.write or Stop.command",
            option="stop.steps",
            value=step,
        ) from None
    if isinstance(number, str) and number.endswith("\n"):  # the name of a signal has no end of a line
        raise SpecError(
            f"stop.steps holds {step!r}: for input write Stop.write({number!r}, {seconds})",
            option="stop.steps",
            value=step,
        )
    return Step(as_signal_number(number, "stop.signal"), _as_seconds(seconds))


def _as_words(argv: object) -> tuple[str, ...]:
    if isinstance(argv, str | bytes) or not isinstance(argv, Iterable):
        raise SpecError(
            f'stop.command={argv!r} is no list: pass the command and each argument, for example ["redis-cli", '
            '"shutdown"], or ["sh", "-c", ...] for a shell',
            option="stop.command",
            value=argv,
        )
    words = tuple(word.__fspath__() if isinstance(word, PathLike) else word for word in cast("Iterable[object]", argv))
    for word in words:
        if not isinstance(word, str) or "\0" in word:
            raise SpecError(
                f"stop.command holds {word!r}: each argument is a str without NUL, or a path",
                option="stop.command",
                value=word,
            )
    texts = cast("tuple[str, ...]", words)
    if not texts or not texts[0]:
        raise SpecError("stop.command is empty: name the command to run", option="stop.command", value=texts)
    if (why := expands(texts[0])) is not None:
        raise SpecError(f"stop.command={texts[0]!r} {why}", option="stop.command", value=texts[0])
    return texts


def _as_seconds(value: object) -> float:
    why = no_seconds(value)
    if isinstance(value, signals.Signals):
        why = "is a signal: write (signal, seconds), and Stop(steps=[(signal.SIGINT, 5), ...]) for several signals"
    if why is not None:
        raise SpecError(f"stop.timeout={value!r} {why}", option="stop.timeout", value=value)
    return float(cast("float", value))

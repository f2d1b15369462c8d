"""The form of ladders as data: a signal and seconds, or a list of steps."""

from __future__ import annotations

from typing import Any, cast

from aioverseer.core.options.flaws import DataError, Flaw, refused
from aioverseer.core.options.form import Form, is_list
from aioverseer.core.options.forms import COMMAND, FUNCTION, Kinds, ListOf, Record
from aioverseer.core.options.leaf_forms import BYTES, SECONDS, SIGNAL, Word
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.stop_steps import CloseStdin, RunCommand, Step, StopStep, WriteStdin

__all__ = ["LADDER"]

_ASKING = Kinds(
    {
        "close_stdin": (
            CloseStdin,
            Record(Stop.close_stdin, {"timeout": SECONDS}, called={"timeout": "close_stdin"}),
        ),
        "write": (WriteStdin, Record(Stop.write, {"data": BYTES, "timeout": SECONDS}, called={"data": "write"})),
        "command": (
            RunCommand,
            Record(Stop.command, {"argv": COMMAND, "timeout": SECONDS}, called={"argv": "command"}),
        ),
    },
    what="step",
    example='["SIGTERM", 5]',
    other=FUNCTION,  # writes the first step of a program in a pipeline, which its run adds
)


class _StepForm(Form):
    """A step: signal and seconds in a list, or an object for a step that is no signal."""

    def write(self, value: StopStep) -> Any:
        return [SIGNAL.write(value.signal), value.timeout] if isinstance(value, Step) else _ASKING.write(value)

    def read(self, data: Any) -> Any:
        if not is_list(data):
            return _ASKING.read(data)
        if len(data) != 2:  # noqa: PLR2004  # signal and seconds
            raise refused('is no step: write a signal and seconds, for example ["SIGTERM", 5]')
        flaws: list[Flaw] = []
        values: list[Any] = []
        for number, form in enumerate((SIGNAL, SECONDS)):
            try:
                values.append(form.read(data[number]))
            except DataError as error:
                flaws += error.below(number)
        if flaws:
            raise DataError.of(flaws)
        return tuple(values)

    def schema(self) -> dict[str, Any]:
        pair = {
            "type": "array",
            "items": [SIGNAL.schema(), SECONDS.schema()],
            "minItems": 2,
            "additionalItems": False,
        }
        return {"anyOf": [pair, _ASKING.schema()]}


class _LadderForm(Form):
    """A ladder: a signal and seconds, or a list of steps."""

    _usual = Stop()
    _record = Record(
        Stop,
        {
            "signal": SIGNAL,
            "timeout": SECONDS,
            "steps": ListOf(_StepForm(), list, least=1),
            "scope": Word(["tree", "leader"]),
        },
        short="signal",
    )

    def write(self, value: Stop) -> Any:
        scope = {} if value.scope == "tree" else {"scope": value.scope}
        first, last = value.steps[0], value.steps[1:]
        if not isinstance(first, Step) or last != self._usual.steps[1:]:
            return {"steps": [_StepForm().write(step) for step in value.steps], **scope}
        usual = cast("Step", self._usual.steps[0])
        signal = {} if first.signal == usual.signal else {"signal": SIGNAL.write(first.signal)}
        timeout = {} if first.timeout == usual.timeout else {"timeout": first.timeout}
        return {**signal, **timeout, **scope}

    def read(self, data: Any) -> Any:
        return self._record.read(data)

    def schema(self) -> dict[str, Any]:
        return self._record.schema()


LADDER = _LadderForm()

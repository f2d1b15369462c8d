"""The errors of aioverseer that are not about one program, and the tree of all errors.

```
OverseerError
├── SpecError (also ValueError)           a description is wrong; names the option and the value
│   └── DependencyCycle
├── UnknownService (also LookupError)     no service has this id
├── DuplicateService                      the id is taken
├── ServiceIsLive                         the service runs, starts, stops or waits to restart
├── PlanIsStale                           the overseer has changed since the plan was made
├── ProcessNotRunning (also ProcessLookupError)
├── ContainmentError                      the system does not offer this level of containment
├── SpawnError (also OSError)             the program could not be started; errno is kept
└── ProgramError                          about a program; carries id, status and last lines
    ├── ProcessFailed                     the program failed
    ├── NotReady                          the program cannot reach the awaited state any more
    │   └── NotReadyInTime (also TimeoutError)
    ├── GaveUp                            the restart budget is spent
    ├── RunEnded                          the run ended before the awaited output or answer
    ├── RollFailed                        a rolling restart has failed
    ├── CriticalServiceEnded              a critical service has ended for good
    ├── ApplyFailed                       a step of a plan has failed
    └── StopFailed                        the program is still there after the whole ladder
```

ProgramError and the errors below it are in ``report/status.py``, as they carry a Status. The end of a program is data
and becomes an exception only if the application asks for one (``Status.check()``, ``ready()``, ``wait_for()``).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aioverseer.core.export import exported_from

__all__ = [
    "ContainmentError",
    "DependencyCycle",
    "DuplicateService",
    "OverseerError",
    "ProcessNotRunning",
    "ServiceIsLive",
    "SpawnError",
    "SpecError",
    "UnknownService",
]


@exported_from("aioverseer")
class OverseerError(Exception):
    """Base of every error of this library; raised itself for wrong use of an overseer."""


@exported_from("aioverseer")
class SpecError(OverseerError, ValueError):
    """A description of a program is wrong.

    Attributes:
        option: Name of the wrong option; None if the description as a whole is wrong.
        value: Value that was refused.
    """

    def __init__(self, message: str, *, option: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.option = option
        self.value = value


class WrongBlock(OverseerError, TypeError):
    """A block began with ``with`` in place of ``async with``, or the reverse; raised by no other use."""


@exported_from("aioverseer")
class ContainmentError(OverseerError):
    """The system does not offer the level of containment; the message says why, and what to do."""


@exported_from("aioverseer")
class DependencyCycle(SpecError):
    """Services wait for each other in a circle; the message writes the path out."""


@exported_from("aioverseer")
class UnknownService(OverseerError, LookupError):
    """No service with this id is registered."""


@exported_from("aioverseer")
class DuplicateService(OverseerError):
    """A service with this id is registered already."""


@exported_from("aioverseer")
class ServiceIsLive(OverseerError):
    """The service must be stopped first: it runs, starts, stops or waits to restart."""


@exported_from("aioverseer")
class ProcessNotRunning(OverseerError, ProcessLookupError):
    """There is no live program to signal or to write to."""


@exported_from("aioverseer")
class SpawnError(OverseerError, OSError):
    """The program could not be started; ``errno`` and ``filename`` are those of the system."""

    def __init__(self, message: str, *, errno: int | None = None, filename: str | None = None) -> None:
        # OSError fills errno and filename itself only if it gets two or more arguments, and then prints them in its
        # own way. A reader needs the sentence.
        super().__init__(message)
        self.errno = errno
        self.filename = filename

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs: OSError keeps ``errno`` and ``filename`` in arguments that it was not given."""
        return partial(type(self), errno=self.errno, filename=self.filename), self.args, vars(self)

    def __str__(self) -> str:
        """Return the sentence; OSError would print errno and filename instead."""
        return str(self.args[0])

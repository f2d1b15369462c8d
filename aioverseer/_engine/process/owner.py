"""ProcessOwner: the reports of one run to the service that started it."""

from __future__ import annotations

from typing import Protocol

from aioverseer.core.machine.table import Transition
from aioverseer.core.report.events import Kind
from aioverseer.core.state import Exit

__all__ = ["ProcessOwner"]


class ProcessOwner(Protocol):
    """Receives the reports of a run. Each report names the run by its number.

    All methods are called on the event loop of the run, in the order in which things happened.
    """

    def on_transition(self, run: int, transition: Transition) -> None:
        """Handle a change of state.

        Args:
            run: The number of the run.
            transition: The old state, the new state and the reason.
        """
        ...

    def on_spawned(self, run: int, pid: int) -> None:
        """Handle the spawn of the program. The transition to RUNNING follows once the program is ready.

        Args:
            run: The number of the run.
            pid: The process id; 0 for a task of the host.
        """
        ...

    def on_main_changed(self, run: int) -> None:
        """Handle another main process, whose process id is that of the run from now on.

        Args:
            run: The number of the run.
        """
        ...

    def will_run_again(self, exit: Exit) -> bool:
        """Return whether another run follows an end that nobody has asked for.

        Args:
            exit: The exit of the program.
        """
        ...

    def on_unstoppable(self, run: int) -> None:
        """Handle a program that still exists after its whole ladder.

        Args:
            run: The number of the run.
        """
        ...

    def on_notice(self, run: int, text: str, kind: Kind, *, level: int | None = None) -> None:
        """Handle something that is worth an event but changes no state.

        Args:
            run: The number of the run.
            text: The end of a sentence that begins with the name of the program.
            kind: The kind of the event.
            level: The level of the log record; None for that of the kind.
        """
        ...

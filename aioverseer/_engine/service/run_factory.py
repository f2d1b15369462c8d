"""RunFactory: makes the runs of one service, each from the options, with the values of its placeholders."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aioverseer._engine.output.hub import Hub
from aioverseer._engine.process.owner import ProcessOwner
from aioverseer._engine.process.runner import ProcessRunner
from aioverseer._engine.service.run_sockets import RunSockets, are_announced
from aioverseer._engine.service.task_chain import TaskChain
from aioverseer._system.protocols import Launcher
from aioverseer.core.clock import Clock
from aioverseer.core.options.spec import Spec, is_template
from aioverseer.core.options.stop import Stop

if TYPE_CHECKING:
    from aioverseer._engine.health.health import Health
    from aioverseer._engine.service.run_spec import RunSpecs

__all__ = ["RunFactory"]


class RunFactory:
    """Makes the runs of one service. It holds the port of each live run.

    Attributes:
        launcher: The launcher of programs, or of the function or context manager in place of a program.
    """

    def __init__(
        self,
        *,
        owner: ProcessOwner,
        clock: Clock,
        launcher: Launcher,
        hub: Hub,
        recent_lines: Callable[[], list[str]],
        make_handle: Callable[[ProcessRunner], Any],
        load_health: Callable[[], type[Health]],
        load_run_specs: Callable[[], RunSpecs],
        register_log: Callable[[Spec], None],
        sockets: RunSockets,
    ) -> None:
        """Create a factory.

        Args:
            owner: The receiver of the reports of each run.
            clock: The source of time.
            launcher: The launcher of programs.
            hub: The distributor of the lines of all runs.
            recent_lines: Function that returns the last lines of the service, for error messages.
            make_handle: Function that returns the object that functions of the user receive for a run.
            load_health: Function that imports the class that runs probes.
            load_run_specs: Function that makes what computes the Specs of the runs of a service with placeholders.
            register_log: Function that sets the logs of the service, if the paths are those of one run.
            sockets: The listening sockets of the service.
        """
        self.launcher = launcher
        self._owner = owner
        self._clock = clock
        self._hub = hub
        self._recent_lines = recent_lines
        self._make_handle = make_handle
        self._load_health = load_health
        self._load_run_specs = load_run_specs
        self._register_log = register_log
        self._sockets = sockets
        self._run_specs: RunSpecs | None = None

    def make(self, spec: Spec, *, number: int, chain: TaskChain) -> ProcessRunner:
        """Return a new run, which is not started.

        Args:
            spec: The options of the service, with their placeholders.
            number: The number of the run.
            chain: The task in which it runs.
        """
        announced = are_announced(spec)
        spec, launcher = self._fill(spec, number)
        return self._make(spec, launcher, number=number, chain=chain, announced=announced)

    def prepare(self, spec: Spec, *, number: int, chain: TaskChain) -> tuple[Spec, Callable[[Spec], ProcessRunner]]:
        """Return the options of a run without placeholders, and a function that makes the run once they are final.

        Args:
            spec: The options of the service, with their placeholders.
            number: The number of the run.
            chain: The task in which it runs.
        """
        announced = are_announced(spec)
        filled, launcher = self._fill(spec, number)
        make = functools.partial(self._make, launcher=launcher, number=number, chain=chain, announced=announced)
        return filled, make

    def end(self, number: int) -> None:
        """Give back what a run has held. Idempotent."""
        if self._run_specs is not None:
            self._run_specs.end(number)

    def ladder_of(self, number: int, ladder: Stop) -> Stop:
        """Return the ladder of a live run, with the values of its placeholders.

        Raises:
            SpecError: For a placeholder that the run has no value for.
        """
        return ladder if self._run_specs is None else self._run_specs.ladder_of(number, ladder)

    def command_of(self, number: int, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the words of a command for a live run, with the values of its placeholders.

        Raises:
            SpecError: For a placeholder that the run has no value for.
        """
        return argv if self._run_specs is None else self._run_specs.command_of(number, argv)

    def _fill(self, spec: Spec, number: int) -> tuple[Spec, Launcher]:
        """Return the Spec of a run, and the launcher that starts it or says why it cannot be started."""
        if not is_template(spec):
            return spec, self.launcher
        if self._run_specs is None:
            self._run_specs = self._load_run_specs()
        return self._run_specs.begin(spec, number, launcher=self.launcher, register_log=self._register_log)

    def _make(self, spec: Spec, launcher: Launcher, *, number: int, chain: TaskChain, announced: bool) -> ProcessRunner:
        run = ProcessRunner(
            spec,
            number=number,
            clock=self._clock,
            launcher=launcher,
            make_handle=self._make_handle,
            load_health=self._load_health,
            owner=self._owner,
            start_task=chain.start,
            line_sink=functools.partial(self._hub.sink, run=number, spec=spec),
            byte_sink=functools.partial(self._hub.log_feed, run=number, spec=spec),
            recent_lines=self._recent_lines,
            sockets=functools.partial(self._sockets.hold, spec, announced=announced) if spec.listen else None,
        )
        chain.follow(run)
        return run

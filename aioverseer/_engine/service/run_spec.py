"""The Spec of one run: the only place that computes with which options a run is started.

The placeholders come first, then what ``prepare`` has returned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

from aioverseer._system.host.port_pool import PortPool
from aioverseer._system.protocols import Child, Launcher, ReadinessChannels
from aioverseer.core.errors import OverseerError, SpawnError, SpecError
from aioverseer.core.options.containment import Containment, Survivor
from aioverseer.core.options.held_socket import FIRST_DESCRIPTOR
from aioverseer.core.options.log import LogFile
from aioverseer.core.options.main_pid import PidFile
from aioverseer.core.options.pipeline import pipeline
from aioverseer.core.options.placeholders import (
    NEEDS_PORT,
    expand,
    expand_command,
    expand_ladder,
    expand_probe,
    texts_of_ladder,
    texts_of_probe,
    words_in,
)
from aioverseer.core.options.spec import Spec, is_template
from aioverseer.core.options.stop import Stop

__all__ = ["RefusingLauncher", "RunSpecMaker", "RunSpecs", "filled", "with_changes"]


class RunSpecMaker:
    """Makes the ``RunSpecs`` of all services of one overseer, which share their ports."""

    def __init__(self) -> None:
        self._ports = PortPool()

    def make(self, index: int) -> RunSpecs:
        """Return the maker of the Specs of one service.

        Args:
            index: The number of the instance; 0 for a lone service.
        """
        return RunSpecs(index=index, ports=self._ports)

    def check(self, spec: Spec) -> None:
        """Check that the placeholders of a Spec can be replaced.

        Raises:
            SpecError: If a word has no value, or an option does not take the result.
        """
        port = 1 if spec.port is None else spec.port[0]
        try:
            filled(spec, {**_values_of(spec, index=0, run=1), NEEDS_PORT: port})
        except SpecError as error:
            raise SpecError(f"service {spec.id!r}: {error}", option=error.option, value=error.value) from None


class RunSpecs:
    """Computes the Spec of each run of one service, and holds the values of each live run."""

    def __init__(self, *, index: int, ports: PortPool) -> None:
        """Begin without runs.

        Args:
            index: The number of the instance; 0 for a lone service.
            ports: The ports of all runs of the overseer.
        """
        self._index = index
        self._ports = ports
        self._live: dict[int, Mapping[str, object]] = {}

    def begin(
        self,
        spec: Spec,
        run: int,
        *,
        launcher: Launcher,
        register_log: Callable[[Spec], None],
    ) -> tuple[Spec, Launcher]:
        """Return the Spec of a run that begins, and its launcher.

        Without a port, or with a value that no option takes, the launcher raises that error in place of a start.

        Args:
            spec: The options of the service.
            run: The number of the run.
            launcher: The launcher of programs.
            register_log: Function that sets the logs of the service, called if the paths are those of this run.
        """
        try:
            values = self._values(spec, run) if is_template(spec) else {}
            run_spec = filled(spec, values) if values else spec
            if run_spec.log is not spec.log:
                register_log(run_spec)
        except OverseerError as error:
            self.end(run)
            refused = error if isinstance(error, SpawnError) else SpawnError(str(error))
            return dataclasses.replace(spec, ready=None, alive=None), RefusingLauncher(launcher, refused)
        return run_spec, launcher

    def end(self, run: int) -> None:
        """Give the port of an ended run back. Idempotent."""
        port = self._live.pop(run, {}).get(NEEDS_PORT)
        if isinstance(port, int):
            self._ports.give_back(port)

    def ladder_of(self, run: int, ladder: Stop) -> Stop:
        """Return a ladder that a live run gets later, with the values of its placeholders.

        Raises:
            SpecError: For a placeholder that the run has no value for.
        """
        values = self._live.get(run)
        return ladder if values is None else expand_ladder(ladder, values)

    def command_of(self, run: int, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the words of a command for a live run; as ``ladder_of``."""
        values = self._live.get(run)
        return argv if values is None else expand_command(argv, values)

    def _values(self, spec: Spec, run: int) -> dict[str, object]:
        values = _values_of(spec, index=self._index, run=run)
        if spec.port is not None or NEEDS_PORT in _words_of(spec):
            values[NEEDS_PORT] = self._ports.take(spec.port, spec.id)
        self._live[run] = values
        return values


def _values_of(spec: Spec, *, index: int, run: int) -> dict[str, object]:
    """Return the values of the words that need no resource."""
    descriptors = {f"fd.{name}": place for place, name in enumerate(spec.listen, FIRST_DESCRIPTOR)}
    return {"index": index, "id": spec.id, "run": run, **descriptors}


_OF_SERVICE = frozenset(
    "after cleanup critical delay_start group instances log on_give_up port prepare reload restart significant".split()
)
"""Options that say nothing about one run."""


def with_changes(spec: Spec, changed: Mapping[str, Any]) -> Spec:
    """Return the options of a run with those that ``prepare`` has returned. They have no placeholders.

    Args:
        spec: The options of the run, with its placeholders replaced.
        changed: The options by name; ``argv`` is the command.

    Raises:
        SpecError: For an option that is unknown or says nothing about one run, or a value that it does not take.
    """
    options = dict(changed)
    for name, value in options.items():
        if name in _OF_SERVICE:
            raise SpecError(f"{name}={value!r} is an option of the service, not of one run", option=name, value=value)
    argv = options.pop("argv", None)
    spec = spec.updated(**options)
    return spec if argv is None else spec.with_command(argv)


def filled(spec: Spec, values: Mapping[str, object]) -> Spec:
    """Return a Spec with its placeholders replaced. Its ``port`` holds the port of the run alone.

    Args:
        spec: The options of the service.
        values: The value of each word.

    Raises:
        SpecError: For a word without a value, or a value that an option does not take.
    """
    changes = _filled_program(spec, values)
    if spec.ready is not None:
        changes["ready"] = expand_probe(spec.ready, values)
    if spec.alive is not None:
        changes["alive"] = dataclasses.replace(
            spec.alive,
            probe=expand_probe(spec.alive.probe, values),
            stop=None if spec.alive.stop is None else expand_ladder(spec.alive.stop, values),
        )
    for name in _COMMANDS:
        if isinstance(command := getattr(spec, name), tuple):
            changes[name] = expand_command(cast("tuple[str, ...]", command), values)
    if isinstance(spec.main_pid, PidFile):
        changes["main_pid"] = PidFile(expand(spec.main_pid.path, values))
    if spec.log is not None and any(isinstance(log, LogFile) and log.words_of_run for log in spec.log):
        changes["log"] = tuple(log.of_run(values) if isinstance(log, LogFile) else log for log in spec.log)
    port = values.get(NEEDS_PORT)
    if isinstance(port, int):
        changes["port"] = range(port, port + 1)
    return _changed(spec, changes)


def _filled_program(spec: Spec, values: Mapping[str, object]) -> dict[str, Any]:
    """Return the options of the program itself, and of those before it in its pipeline."""
    changes: dict[str, Any] = {
        "argv": tuple(expand(word, values) for word in spec.argv),
        "extra_env": {name: expand(text, values) for name, text in spec.extra_env.items()},
        "cwd": None if spec.cwd is None else expand(spec.cwd, values),
        "stop": expand_ladder(spec.stop, values),
    }
    if isinstance(spec.stdin, Spec):
        changes["stdin"] = _changed(spec.stdin, _filled_program(spec.stdin, values))
    return changes


_COMMANDS = ("prepare", "cleanup", "reload")
"""Options that are a command, if their value is a tuple."""


def _changed(spec: Spec, changes: Mapping[str, Any]) -> Spec:
    differing = {name: value for name, value in changes.items() if value != getattr(spec, name)}
    return dataclasses.replace(spec, **differing) if differing else spec


def _words_of(spec: Spec) -> frozenset[str]:
    """Return the words that are replaced somewhere in the options of a service."""
    texts = [*texts_of_probe(spec.ready)]
    for program in pipeline(spec):
        texts += [*program.argv, *program.extra_env.values(), program.cwd or "", *texts_of_ladder(program.stop)]
    if spec.alive is not None:
        texts += texts_of_probe(spec.alive.probe)
        texts += () if spec.alive.stop is None else texts_of_ladder(spec.alive.stop)
    for name in _COMMANDS:
        texts += command if isinstance(command := getattr(spec, name), tuple) else ()
    if isinstance(spec.main_pid, PidFile):
        texts.append(spec.main_pid.path)
    found = frozenset[str]().union(*map(words_in, texts))
    for log in spec.log or ():
        if isinstance(log, LogFile):
            found |= log.words_of_run
    return found


class RefusingLauncher:
    """A ``Launcher`` of one run that cannot be started."""

    def __init__(self, launcher: Launcher, error: SpawnError) -> None:
        """Take the error.

        Args:
            launcher: The launcher of programs, for all but the launch.
            error: The error of the launch.
        """
        self._launcher = launcher
        self._error = error

    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> Child:
        """Raise the error."""
        del spec, capture, channels
        raise self._error

    @property
    def containment(self) -> Containment:
        """The level of containment in force."""
        return self._launcher.containment

    def containment_of(self, spec: Spec) -> Containment:
        """Return the level of containment of a program."""
        return self._launcher.containment_of(spec)

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill the processes that ended runs have left."""
        return await self._launcher.sweep()

    async def close(self) -> tuple[Survivor, ...]:
        """Do nothing: the launcher of programs is closed by its owner."""
        return ()

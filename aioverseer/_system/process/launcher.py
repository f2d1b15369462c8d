"""The launch of a program: all that happens before, around and after its spawn.

Every child goes through ``asyncio.create_subprocess_exec(..., start_new_session=True)``; see ``SpawnRequest``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Mapping, Sequence

from aioverseer._system.containment.scope import ContainmentLevel, RunScope, sweep_strays
from aioverseer._system.host.environment import of_host
from aioverseer._system.host.path_lookup import locate
from aioverseer._system.process.child import SystemChild
from aioverseer._system.process.clean_signals import CleanStart, inherited
from aioverseer._system.process.cpython import environment_of_host
from aioverseer._system.process.listen_fds import Placement, placement_of, variables_of
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.spawn import ExitWatcher, Spawner, SpawnRequest, choose
from aioverseer._system.process.spawn_asyncio import AsyncioSpawner
from aioverseer._system.process.spawn_errors import as_spawn_error, asked_environment, explained, look_up
from aioverseer._system.process.spawn_pidfd import PidfdSpawner
from aioverseer._system.process.stdio import Descriptors
from aioverseer._system.process.wrappers import passing, prefix_for
from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.errors import ContainmentError, SpawnError
from aioverseer.core.options.containment import AskedContainment, Containment, Survivor
from aioverseer.core.options.spec import Spec

__all__ = ["SystemLauncher"]

_SPAWNERS: tuple[Spawner, ...] = (PidfdSpawner(), AsyncioSpawner())
"""All spawners, best first."""

_NO_SIGNALS: frozenset[int] = frozenset()

_PASSES = 3
"""Searches for processes of a cancelled spawn: a process may fork while the first search is under way."""


class SystemLauncher:
    """The launcher of real programs; see ``protocols.Launcher``.

    It makes one spawn in each iteration of the event loop, so that many programs that are due together do not block the
    application; see ``SpawnQueue``.
    """

    def __init__(self, *, containment: AskedContainment = "basic") -> None:
        """Create a launcher.

        Args:
            containment: The level of containment of its programs.

        Raises:
            ContainmentError: If this system cannot provide the level.
        """
        self._level = ContainmentLevel(containment)
        self._others: dict[AskedContainment, ContainmentLevel] = {}
        self._retained: LoopResources | None = None

    def retain(self) -> None:
        """Keep the resources of the running event loop open between launches, until ``release``. Idempotent."""
        resources = LoopResources.on(asyncio.get_running_loop())
        if resources is not self._retained:
            self.release()
            resources.hold()
            self._retained = resources

    def release(self) -> None:
        """Keep no resources open between launches. Idempotent."""
        if self._retained is not None:
            self._retained.release()
            self._retained = None

    @property
    def containment(self) -> Containment:
        """The level of containment in force."""
        return self._level.containment

    def containment_of(self, spec: Spec) -> Containment:
        """Return the level in force for a program; see ``protocols.Launcher``."""
        asked = spec.containment or self._level.asked
        return self._others.get(asked, self._level).containment

    def _level_for(self, spec: Spec) -> ContainmentLevel:
        asked = spec.containment
        if asked is None or asked == self._level.asked:
            return self._level
        if asked not in self._others:
            try:
                self._others[asked] = ContainmentLevel(asked)
            except ContainmentError as error:
                raise SpawnError(
                    f"service {spec.id!r} cannot be started: {error}", errno=errno.ENOTSUP, filename=spec.argv[0]
                ) from error
        return self._others[asked]

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill the leftovers of the ended runs of this host; see ``protocols.Launcher``."""
        return await sweep_strays()

    async def close(self) -> tuple[Survivor, ...]:
        """Kill the leftovers of its programs and close the containment; see ``protocols.Launcher``."""
        left = await self._level.close()
        for level in tuple(self._others.values()):
            left = await level.close()
        return left

    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> SystemChild:
        """Start a program; see ``protocols.Launcher``.

        A cancellation of the caller leaves nothing behind: a child that exists already is killed with its group and
        reaped before the cancellation goes on, within about a second.

        Args:
            spec: The program.
            capture: Whether its output comes through pipes.
            channels: Descriptors and variables beyond the Spec, for readiness; None adds nothing.

        Raises:
            SpawnError: If the program cannot be started. The message names the service, the value and a remedy.
        """
        descriptors: Mapping[int, int] = {} if channels is None else channels.descriptors
        placed: Placement | None = None
        variables: Mapping[str, str] = {} if channels is None else channels.env
        if channels is not None and channels.sockets:
            placed = placement_of(spec, channels.sockets, announced=channels.announces_sockets)
            if channels.announces_sockets:
                variables = {**variables, **variables_of(channels.sockets)}
        words = [
            *passing(descriptors),
            *_command_line(spec, wrapped=bool(descriptors), last=() if placed is None else placed.words),
        ]
        loop = asyncio.get_running_loop()
        resources = self._retained
        if resources is None or resources.loop is not loop:
            resources = LoopResources.on(loop)
        scope = await self._level_for(spec).prepare(spec)
        resources.hold()
        watcher: ExitWatcher | None = None
        clean: CleanStart | None = None
        try:
            spawner = choose(_SPAWNERS, loop)
            # Everything that is possible before the wait for the queue is done before it: directly after a fork the
            # caches are cold, and each function takes twice as long.
            given = asked_environment(spec)
            own = environment_of_host()
            path = own.get(b"PATH") if given is None else given.get("PATH", os.defpath)
            if variables:
                given = {**(of_host() if given is None else given), **variables}
            environment = scope.environment(given, own)
            mark = scope.mark()
            shim = scope.shim
            if prefix := scope.prefix:
                with as_spawn_error(spec):
                    look_up(spec)
                words = [*prefix, *words]
            # A launch waits before it opens anything. A thousand queued launches must not hold the descriptors of a
            # thousand, and each spawn takes longer the more descriptors are open.
            # Programs of an overseer wait for one iteration of the event loop each, so that two hundred restarts do not
            # block the host. Lone Processes may share an iteration, as an application that starts thirty-two at once
            # waits for all of them.
            await resources.spawn_queue.take(shares=self._retained is None)
            with Descriptors(spec, resources) as opened:
                opened.open(capture=capture)
                words = [*opened.prefix, *words]
                if signals := inherited():
                    with as_spawn_error(spec):
                        look_up(spec)
                    clean = CleanStart(signals, words)
                    words = [*clean.prefix, *words]
                request = SpawnRequest(
                    name=spec.id,
                    words=words,
                    # Not before the wait, as the program may be moved during it.
                    executable=locate(words[0], path) if "/" not in words[0] else None,
                    stdin=opened.child_stdin if placed is None or placed.stdin is None else placed.stdin,
                    stdout=opened.child_stdout,
                    stderr=opened.child_stderr,
                    cwd=spec.cwd,
                    environment=environment,
                    pass_fds=(
                        *descriptors.values(),
                        *(() if placed is None else placed.pass_fds),
                        *(() if shim is None else shim.pass_fds),
                        *(() if clean is None else clean.pass_fds),
                    ),
                    held=_NO_SIGNALS if clean is None else clean.held,
                    mark=mark,
                )
                try:
                    watcher = await spawner.spawn(request, resources)
                except asyncio.CancelledError:
                    _kill_unknown(scope)
                    raise
                except (OSError, ValueError) as error:
                    raise explained(spec, words, error) from error
                scope.adopt(watcher.pid)
                if clean is not None:
                    clean.go()
                return opened.hand_over(watcher, scope)
        except BaseException:
            scope.end()
            if watcher is not None:
                watcher.release()
            resources.release()
            raise
        finally:
            if clean is not None:
                clean.close()


def _kill_unknown(scope: RunScope) -> None:
    """Kill all processes of a cancelled spawn, whose process ids are not known: the marker of the run tells them."""
    for _ in range(_PASSES):
        survivors = scope.left()
        if not survivors:
            return
        for survivor in survivors:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(survivor.pid, signal.SIGKILL)


def _command_line(spec: Spec, *, wrapped: bool, last: Sequence[str] = ()) -> list[str]:
    prefix = [*prefix_for(spec), *last]
    if prefix or spec.pty or wrapped:
        # A wrapper reports a missing program by its exit code 127, and not by an error, so look for the program first.
        with as_spawn_error(spec):
            look_up(spec)
    return [*prefix, *spec.argv]

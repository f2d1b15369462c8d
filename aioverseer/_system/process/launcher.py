"""The one place that starts a program.

Every child goes through ``asyncio.create_subprocess_exec(..., start_new_session=True)`` with descriptors of our own:
with ``PIPE``, ``Process.wait()`` waits for whoever still holds the pipe (CPython gh-119710). Nothing in here decides.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
from collections.abc import Mapping

from aioverseer._system.containment.scope import ContainmentLevel, sweep_strays
from aioverseer._system.host.environment import own_environment
from aioverseer._system.host.path_lookup import locate
from aioverseer._system.process.child import ExitWatcher, SystemChild
from aioverseer._system.process.loop_resources import LoopResources
from aioverseer._system.process.spawn_asyncio import AsyncioExitWatcher, finish
from aioverseer._system.process.spawn_errors import as_spawn_error, asked_environment, explained, look_up
from aioverseer._system.process.spawn_pidfd import PidfdChild, begin
from aioverseer._system.process.stdio import Descriptors
from aioverseer._system.process.wrappers import passing, prefix_for
from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.errors import ContainmentError, SpawnError
from aioverseer.core.options.containment import AskedContainment, Containment, Survivor
from aioverseer.core.options.spec import Spec

__all__ = ["SystemLauncher"]


class SystemLauncher:
    """Starts real programs, one in each turn of the event loop; see ``seam.Launcher``.

    A spawn blocks the loop for a third of a millisecond. Two hundred that come due together would block it for
    seventy; with a turn of the loop between them the host stays responsive.
    """

    def __init__(self, *, containment: AskedContainment = "basic") -> None:
        """Start nothing yet.

        Args:
            containment: The level to contain programs at.

        Raises:
            ContainmentError: When it cannot be had.
        """
        self._cages = ContainmentLevel(containment)
        self._others: dict[AskedContainment, ContainmentLevel] = {}
        self._kept: LoopResources | None = None

    def keep(self) -> None:
        """Keep what its programs share on the running event loop between them, until ``let_go``. Idempotent."""
        commons = LoopResources.on(asyncio.get_running_loop())
        if commons is not self._kept:
            self.let_go()
            commons.hold()
            self._kept = commons

    def let_go(self) -> None:
        """Keep nothing between programs any more. Idempotent."""
        if self._kept is not None:
            self._kept.release()
            self._kept = None

    @property
    def containment(self) -> Containment:
        """Which level of containment is in force."""
        return self._cages.containment

    def containment_of(self, spec: Spec) -> Containment:
        """Return which level is in force for a program; see ``seam.Launcher``."""
        asked = spec.containment or self._cages.asked
        return self._others.get(asked, self._cages).containment

    def _cages_for(self, spec: Spec) -> ContainmentLevel:
        asked = spec.containment
        if asked is None or asked == self._cages.asked:
            return self._cages
        if asked not in self._others:
            try:
                self._others[asked] = ContainmentLevel(asked)
            except ContainmentError as error:
                raise SpawnError(
                    f"service {spec.id!r} cannot be started: {error}", errno=errno.ENOTSUP, filename=spec.argv[0]
                ) from error
        return self._others[asked]

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill what the ended runs of this host have left behind; see ``seam.Launcher``."""
        return await sweep_strays()

    async def close(self) -> tuple[Survivor, ...]:
        """End what its programs have left behind, and what contained them; see ``seam.Launcher``."""
        left = await self._cages.close()
        for cages in tuple(self._others.values()):
            left = await cages.close()
        return left

    async def launch(self, spec: Spec, *, capture: bool, preparation: ReadinessChannels | None = None) -> SystemChild:
        """Start a program.

        Completes even when its caller is cancelled: the child, if there is one, is then killed with its group
        and reaped before the cancellation goes on, within about a second.

        Args:
            spec: What to start.
            capture: Whether its output comes through pipes.
            preparation: What it is given beyond its Spec; None is nothing.

        Raises:
            SpawnError: When it cannot be started; the message names the service, the value and what to do.
        """
        descriptors: Mapping[int, int] = {} if preparation is None else preparation.descriptors
        words = [*passing(descriptors), *_command_line(spec, behind=bool(descriptors))]
        loop = asyncio.get_running_loop()
        commons = self._kept
        if commons is None or commons.loop is not loop:
            commons = LoopResources.on(loop)
        cage = await self._cages_for(spec).prepare(spec)
        commons.hold()
        watch: PidfdChild | None = None
        try:
            # What can be done before the turn is: one at a time behind a fork each function takes twice as long.
            given = asked_environment(spec)
            path = own_environment().get(b"PATH") if given is None else given.get("PATH", os.defpath)
            if preparation is not None and preparation.env:
                given = {**(os.environ if given is None else given), **preparation.env}
            environment = cage.environment(given)
            watch = PidfdChild(commons.readers, environment)
            shim = cage.shim
            if wrapped := cage.prefix:
                with as_spawn_error(spec):
                    look_up(spec)
                words = [*wrapped, *words]
            # Before anything is opened: a thousand that wait here must not hold the descriptors of a thousand spawns,
            # and each spawn takes longer the more are open.
            # Two hundred services that come due together leave the loop to the host; who gathers lone Processes wants
            # them soon, as with bare asyncio, which starts all of them in one turn.
            await commons.turns.take(shares=self._kept is None)
            with Descriptors(spec, commons) as ours:
                ours.open(capture=capture)
                words = [*ours.prefix, *words]
                spawn = functools.partial(
                    asyncio.create_subprocess_exec,
                    *words,
                    # Not beforehand: it may be moved while others have their turns.
                    executable=locate(words[0], path) if "/" not in words[0] else None,
                    stdin=ours.child_stdin,
                    stdout=ours.child_stdout,
                    stderr=ours.child_stderr,
                    cwd=spec.cwd,
                    env=environment.variables,
                    pass_fds=(*descriptors.values(), *(() if shim is None else shim.pass_fds)),
                    start_new_session=True,
                )
                try:
                    end: ExitWatcher = (
                        watch if begin(watch, spawn) else AsyncioExitWatcher(await finish(loop, spawn, spec.id))
                    )
                except (OSError, ValueError) as error:
                    raise explained(spec, words, error) from error
                cage.adopt(end.pid)
                return ours.hand_over(end, cage)
        except BaseException:
            cage.end()
            if watch is not None:
                watch.release()
            commons.release()
            raise


def _command_line(spec: Spec, *, behind: bool) -> list[str]:
    prefix = prefix_for(spec)
    if prefix or spec.pty or behind:
        # Behind a wrapper a missing program would be its exit code 127, and no error: look beforehand.
        with as_spawn_error(spec):
            look_up(spec)
    return [*prefix, *spec.argv]

"""ScriptedLauncher: chooses the script of each launch, and keeps all launched children.

It implements the protocol ``aioverseer.abc.Launcher``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aioverseer._aio.clock import LoopClock
from aioverseer._aio.timers import sleep_until
from aioverseer.abc import Clock, ReadinessChannels
from aioverseer.core.errors import SpawnError
from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Containment, Survivor
from aioverseer.core.options.spec import Spec
from aioverseer.testing.child import LaunchedChildren, RunningChild
from aioverseer.testing.script import FakeChild

__all__ = ["ScriptedLauncher"]


@exported_from("aioverseer.testing")
class ScriptedLauncher:
    """Launches scripted children instead of programs.

    ``Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild().runs(3).exits(1), FakeChild()))``: the first
    child fails after three seconds, all later ones live.
    """

    def __init__(
        self,
        clock: Clock | None,
        *scripts: FakeChild,
        by_id: Mapping[str, FakeChild | Iterable[FakeChild]] | None = None,
    ) -> None:
        """Set the scripts. Each launch takes the next one; the last one is used for all later launches.

        Args:
            clock: The clock of the children, usually a ``ManualClock``; None for real time, as for a
                ``ThreadedOverseer``.
            *scripts: The scripts of all services without scripts of their own.
            by_id: The script or scripts of single services, by their ids; the name of a set of instances gives the
                scripts of those that have none of their own.
        """
        self._clock = LoopClock() if clock is None else clock
        self._launched = LaunchedChildren()
        self._scripts = {"": list(scripts) or [FakeChild()]}
        for id, given in (by_id or {}).items():
            self.script(id, *([given] if isinstance(given, FakeChild) else given))

    @property
    def children(self) -> list[RunningChild]:
        """The launched children, in order."""
        return self._launched.children

    def of(self, id: str) -> list[RunningChild]:
        """Return the launched children of one service, or of a set of instances, in the order of their launch.

        ``launcher.of("web")[-1]`` is the last one.
        """
        return [child for child in self.children if id in (child.spec.id, _set_of(child.spec.id))]

    def script(self, id: str, *scripts: FakeChild) -> None:
        """Set the scripts of the next launches of a service. The last one is used for all later launches."""
        self._scripts[id] = list(scripts) or [FakeChild()]

    async def launch(self, spec: Spec, *, capture: bool, channels: ReadinessChannels | None = None) -> RunningChild:
        """Start a child with the next script. After a cancellation no child was started.

        Args:
            spec: The Spec of the child.
            capture: Whether its output is read through pipes.
            channels: Channels for readiness.

        Raises:
            SpawnError: If the script says so; see ``FakeChild.cannot_start``.
        """
        scripts = self._scripts.get(spec.id) or self._scripts.get(_set_of(spec.id)) or self._scripts[""]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        await asyncio.sleep(0)
        if script.spawn_seconds > 0:
            await sleep_until(self._clock, self._clock.now() + script.spawn_seconds)
        if script.error is not None:
            # Raise a new error each time, as an error collects tracebacks.
            raise SpawnError(str(script.error), errno=script.error.errno, filename=spec.argv[0])
        child = RunningChild(spec, script, self._clock, self._launched, capture=capture, channels=channels)
        self.children.append(child)
        return child

    @property
    def containment(self) -> Containment:
        """The level of containment: none, as no real process runs."""
        return Containment(level="none", mechanism="scripted", asked="auto", reason="its children are scripted")

    def containment_of(self, spec: Spec) -> Containment:
        """Return the level of containment of a child: always none."""
        del spec
        return self.containment

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill the leftovers of ended children, and return the ones that are still there."""
        return self._launched.sweep()

    async def close(self) -> tuple[Survivor, ...]:
        """Kill the leftovers of ended children, and return the ones that are still there."""
        return self._launched.sweep()


def _set_of(id: str) -> str:
    """Return the name of the set of an instance, ``web`` for ``web.0``; the id itself for other services."""
    name, dot, index = id.rpartition(".")
    return name if dot and index.isdecimal() else id

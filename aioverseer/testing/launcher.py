"""The scripted launcher: which script comes next, for whom, and all children that were launched.

Keeps the ``Launcher`` protocol of ``_system/protocols.py``. What a child does lives in ``child.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aioverseer._system.protocols import ReadinessChannels
from aioverseer.core.clock import Clock
from aioverseer.core.errors import SpawnError
from aioverseer.core.export import exported_from
from aioverseer.core.options.containment import Containment, Survivor
from aioverseer.core.options.spec import Spec
from aioverseer.testing.child import Family, RunningChild
from aioverseer.testing.script import FakeChild

__all__ = ["ScriptedLauncher"]


@exported_from("aioverseer.testing")
class ScriptedLauncher:
    """Launches scripted children; keeps the ``Launcher`` protocol.

    ``Overseer(clock=clock, launcher=ScriptedLauncher(clock, FakeChild().runs(3).exits(1), FakeChild()))``: the first
    launch fails after three seconds, all others live.
    """

    def __init__(
        self,
        clock: Clock,
        *scripts: FakeChild,
        by_id: Mapping[str, FakeChild | Iterable[FakeChild]] | None = None,
    ) -> None:
        """Prepare scripts; each launch takes the next one, and the last one again and again.

        Args:
            clock: What the children live by, mostly a ``ManualClock``.
            *scripts: For any service.
            by_id: For the services of these names: one script, or several.
        """
        self._clock = clock
        self._family = Family()
        self._scripts = {"": list(scripts) or [FakeChild()]}
        for id, given in (by_id or {}).items():
            self.script(id, *([given] if isinstance(given, FakeChild) else given))

    @property
    def children(self) -> list[RunningChild]:
        """Those that were launched, in order."""
        return self._family.children

    def of(self, id: str) -> list[RunningChild]:
        """Return those that were launched for one service, in order: ``launcher.of("web")[-1]`` is its last one."""
        return [child for child in self.children if child.spec.id == id]

    def script(self, id: str, *scripts: FakeChild) -> None:
        """Have the next launches of a service take these scripts, and the last one again and again."""
        self._scripts[id] = list(scripts) or [FakeChild()]

    async def launch(self, spec: Spec, *, capture: bool, preparation: ReadinessChannels | None = None) -> RunningChild:
        """Start the next script; see ``seam.Launcher``. Safe to cancel: nothing was started then."""
        scripts = self._scripts.get(spec.id) or self._scripts[""]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        await asyncio.sleep(0)
        if script.spawn_seconds > 0:
            await self._pass_time(script.spawn_seconds)
        if script.error is not None:
            # Another one each time, as it gathers a traceback.
            raise SpawnError(str(script.error), errno=script.error.errno, filename=spec.argv[0])
        child = RunningChild(spec, script, self._clock, self._family, capture=capture, preparation=preparation)
        self.children.append(child)
        return child

    async def _pass_time(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.now() + seconds, lambda: None if over.done() else over.set_result(None))
        try:
            await over
        finally:
            timer.cancel()

    @property
    def containment(self) -> Containment:
        """Return that there is none: nothing real runs."""
        return Containment(level="none", mechanism="scripted", asked="auto", reason="its children are scripted")

    def containment_of(self, spec: Spec) -> Containment:
        """Return that there is none, whatever was asked for; see ``seam.Launcher``."""
        del spec
        return self.containment

    async def sweep(self) -> tuple[Survivor, ...]:
        """Kill what ended children have left behind; see ``seam.Launcher``."""
        return self._family.sweep()

    async def close(self) -> tuple[Survivor, ...]:
        """Kill what ended children have left behind; see ``seam.Launcher``."""
        return self._family.sweep()

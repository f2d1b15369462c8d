"""Names of the options of a Spec as keywords, and the types of their values."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:  # names of types only
    from aioverseer.core.options.after import After, Until
    from aioverseer.core.options.alive import Alive
    from aioverseer.core.options.composition import Probe
    from aioverseer.core.options.containment import AskedContainment
    from aioverseer.core.options.destinations import Destination
    from aioverseer.core.options.framing import AnyFraming
    from aioverseer.core.options.give_up import OnGiveUp
    from aioverseer.core.options.held_socket import HeldSocket
    from aioverseer.core.options.hooks import AnyHook
    from aioverseer.core.options.log import Log
    from aioverseer.core.options.main_pid import MainPid
    from aioverseer.core.options.recycle import Recycle
    from aioverseer.core.options.reload import AnyReload
    from aioverseer.core.options.restart import Restart
    from aioverseer.core.options.roll import Roll
    from aioverseer.core.options.schedule_base import Schedule
    from aioverseer.core.options.stop import Stop
    from aioverseer.core.options.watch import Watch
from aioverseer.core.export import exported_from
from aioverseer.core.typing import HasDescriptor, HasProgram, IsProgram, PathLike

__all__ = ["Feed", "Leftovers", "Rlimit", "SpecOptions", "Stdin", "Streaming"]


Rlimit = int | tuple[int, int]
"""Resource limit: one number for soft and hard, or ``(soft, hard)``; -1 is no limit."""
Leftovers = Literal["kill", "keep", "report"]
"""Treatment of processes that a program leaves at its end; see ``Spec.leftovers``."""


Streaming = bool | Literal["stdout", "stderr"]
"""Streams that are delivered through queues; see ``Spec.streaming``."""
Feed = AsyncIterable[str | bytes]
"""Source of input in pieces."""
Stdin = str | bytes | PathLike | HasDescriptor | Feed | Callable[[], Feed] | HasProgram | IsProgram | None
"""Input of a program; see ``Spec.stdin``."""


@exported_from("aioverseer")
class SpecOptions(TypedDict, total=False):
    """Options of a Spec as keywords, for ``Process(...)``, ``Overseer.add(...)`` and ``update(...)``."""

    cwd: str | PathLike | None
    env: Mapping[str, str] | None
    extra_env: Mapping[str, str]
    stdin: Stdin
    pty: bool
    window_size: tuple[int, int]
    output: Destination
    stdout: Destination | None
    stderr: Destination | None
    buffered: bool
    streaming: Streaming
    merge_stderr: bool
    framing: AnyFraming
    encoding: str | None
    errors: str
    line_limit: int
    queue_size: int
    drain_timeout: float
    leftovers: Leftovers
    main_pid: MainPid | None
    containment: AskedContainment | None
    memory_max: int | None
    pids_max: int | None
    cpu_max: float | None
    user: str | int | None
    extra_groups: Iterable[str | int]
    umask: int | None
    nice: int | None
    rlimits: Mapping[str, Rlimit]
    no_new_privileges: bool
    oom_score_adj: int | None
    cpus: Iterable[int]
    io_class: str | None
    ambient_capabilities: Iterable[str]
    delay_start: float
    max_runtime: float | None
    schedule: Schedule | None
    stop: Stop
    prepare: AnyHook | None
    cleanup: AnyHook | None
    reload: AnyReload | None
    restart: Restart
    recycle: Recycle | None
    watch: Watch | None
    ready: Probe | None
    ready_timeout: float | None
    alive: Alive | None
    roll: Roll | None
    after: str | After | Iterable[str | After] | Mapping[str, Until]
    critical: bool
    on_give_up: OnGiveUp
    group: str
    significant: bool
    log: Log | Iterable[Log] | None
    instances: int | None
    port: range | None
    listen: Mapping[str, HeldSocket]
    on_demand: bool

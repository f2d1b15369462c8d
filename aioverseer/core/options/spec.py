"""Spec: the frozen description of what to run and under which rules; and that of a lone Process.

A Spec is valid by construction: everything that can be refused without asking the operating system is refused here,
once, with the name of the service, of the option and the value. What is refused is said in ``option_checks.py``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from itertools import compress
from operator import attrgetter, is_not
from types import MappingProxyType
from typing import Any, Self, Unpack, cast

from aioverseer.core.export import exported_from
from aioverseer.core.options.after import After
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.checks import OPTIONS, check_names, check_options, refuse_options_of_services
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.containment import AskedContainment
from aioverseer.core.options.give_up import OnGiveUp
from aioverseer.core.options.keywords import Leftovers, Output, Rlimit, SpecOptions, Stdin
from aioverseer.core.options.log import Log
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.stop import Stop
from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE, DEFAULT_STREAM_QUEUE_SIZE, PathLike

__all__ = ["Spec", "describe"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What to run, and under which rules.

    Attributes:
        id: Name of the service; shown in every message, event and line.
        argv: The program and its arguments, taken literally: no shell, no globbing, no ``~``.
        cwd: Folder to run in; None is the host's.
        env: The whole environment, as in ``subprocess``; None inherits the host's.
        extra_env: Variables added to ``env`` or to the inherited ones.
        stdin: What the program reads: None for the null device, ``"pipe"`` for ``write()``, ``"inherit"``
            for the host's, any other text or bytes to feed them, a ``pathlib.Path`` to read a file, an open file, or
            an async iterable of text or bytes. An iterator feeds one run; a function that returns one feeds each run.
        pty: Whether it runs on a terminal of its own: its input, output and errors are one, and the errors come with
            the output. ``stdin`` is then None or ``"pipe"`` for ``write()``, or what is to be fed.
        window_size: Columns and rows of that terminal.
        output: Where standard output and standard error go: ``"read"`` through pipes to the lines of this library,
            ``"inherit"`` to where those of the host go, ``"null"`` to the null device. A Process that is neither
            buffered nor streaming reads nothing and uses the null device too.
        buffered: Whether all lines are kept for ``Status.stdout`` and ``Status.stderr``.
        streaming: Whether lines are delivered through ``Process.stdout`` and ``Process.stderr``; lossless, so
            a slow reader slows the program.
        merge_stderr: Whether standard error is written into standard output, in order.
        encoding: How bytes become text; None delivers bytes.
        errors: What becomes of bytes that the encoding does not know, as in ``bytes.decode``. Where a handler of your
            own raises, they are replaced.
        line_limit: Bytes; a longer line arrives in pieces of this size.
        queue_size: Lines that a stream holds before the program is slowed down.
        drain_timeout: Seconds to wait for the end of the output once the program has ended, when something
            else still holds its pipe.
        leftovers: What becomes of what the program has started and left behind at its end: ``"kill"`` kills what is
            left in its group, and once nothing follows also what has left that; ``"keep"`` lets it live and goes on
            reading its output, until the overseer, or the block of the Process, is left; ``"report"`` is the same, and
            tells who it is: ``Process.survivors`` and a warning in the log.
        containment: How far the promise reaches that nothing of it is left behind, where that differs from its
            overseer's: ``"basic"``, ``"guarded"``, ``"strict"``, ``"pidns"`` or ``"auto"``; see ``Containment``.
        memory_max: Bytes that it and all that it starts may have together; beyond, the kernel ends them all, and the
            reason says ``out of memory``. Like the next two it needs cgroup v2 with that controller.
        pids_max: Processes and threads that it and all that it starts may be together.
        cpu_max: Processors that they may use together, for example 0.5.
        user: Name or number of the user to run as, also ``"name:group"``; needs ``setpriv``.
        extra_groups: Names or numbers of further groups; needs ``setpriv``.
        umask: Mode bits that new files of the program do not get.
        nice: Scheduling priority, -20 (first) to 19 (last).
        rlimits: Resource limits by their names in prlimit(1), for example ``{"nofile": (1024, 4096)}``; -1 is
            no limit.
        delay_start: Seconds before the first start.
        stop: The ladder that ends it.
        restart: The policy; only a Service restarts.
        ready: What tells that it can do its work, see ``aioverseer.ready``; None is ready once it has been started.
        ready_timeout: Seconds from its start within which it has to be ready; else it is ended by its ladder, and that
            is a failure. None is no limit.
        alive: How it is asked, once it is ready, whether it still does its work.
        after: The services that it waits for when a set is started: a name, a list of names or ``After``, or a dict
            such as ``{"migrate": "success"}``. Only services have an order.
        critical: Whether the overseer stops everything when it ends for good by itself.
        on_give_up: What follows when its restart budget is spent: ``"leave"`` is nothing more, ``"stop"`` stops its
            group (without one, everything), ``"end"`` ends the overseer as ``critical`` does, and a function is
            called with the ``GaveUp``. In a group with a strategy, it is the group that gives up: see
            ``Overseer.group``.
        group: A label for ``list_group()``; the name of a group that was made by ``Overseer.group`` joins that.
        significant: Whether its end by itself counts for ``auto_shutdown`` of its group.
        log: A LogFile, a LogBridge, or several of them, in place of those of the overseer; None leaves it to the
            overseer, and an empty list is none at all. Only a Service keeps logs.
    """

    id: str
    argv: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] | None = field(default=None, repr=False, hash=False)
    extra_env: Mapping[str, str] = field(default_factory=lambda: _NOTHING, repr=False, hash=False)
    stdin: Stdin = field(default=None, repr=False)
    pty: bool = False
    window_size: tuple[int, int] = (80, 24)
    output: Output = "read"
    buffered: bool = False
    streaming: bool = False
    merge_stderr: bool = False
    encoding: str | None = "utf-8"
    errors: str = "replace"
    line_limit: int = DEFAULT_LINE_BUFFER_SIZE
    queue_size: int = DEFAULT_STREAM_QUEUE_SIZE
    drain_timeout: float = 0.5
    leftovers: Leftovers = "kill"
    containment: AskedContainment | None = None
    memory_max: int | None = None
    pids_max: int | None = None
    cpu_max: float | None = None
    user: str | int | None = None
    extra_groups: tuple[str | int, ...] = ()
    umask: int | None = None
    nice: int | None = None
    rlimits: Mapping[str, Rlimit] = field(default_factory=lambda: _NOTHING, hash=False)
    delay_start: float = 0.0
    stop: Stop = Stop()  # noqa: RUF009  # frozen: one for all
    restart: Restart = Restart()  # noqa: RUF009  # frozen: one for all
    ready: Probe | None = None
    ready_timeout: float | None = 30.0
    alive: Alive | None = None
    after: tuple[After, ...] = ()
    critical: bool = False
    on_give_up: OnGiveUp = "leave"
    group: str = ""
    significant: bool = False
    log: tuple[Log, ...] | None = None

    @classmethod
    def of(cls, id: str, argv: Iterable[object], **options: Unpack[SpecOptions]) -> Self:
        """Make a Spec from an id, arguments and options, refusing what is no option.

        Args:
            id: Name of the service.
            argv: The program and its arguments.
            **options: See the attributes of this class.

        Raises:
            SpecError: For an option that does not exist, or a value that an option does not take.
        """
        check_names(id, options)
        return cls(id=id, argv=cast("tuple[str, ...]", argv), **_as_fields(options))

    def updated(self, **options: Unpack[SpecOptions]) -> Self:
        """Return a Spec that differs in these options.

        Raises:
            SpecError: For an option that does not exist, or a value that an option does not take.
        """
        check_names(self.id, options)
        return dataclasses.replace(self, **_as_fields(options))

    def __reduce__(self) -> tuple[Callable[..., Spec], tuple[dict[str, Any]]]:
        """Pickle it by its options; those that are functions, such as ``ready.check``, must be importable."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # A read-only view cannot be pickled; what it shows is made read-only again.
        plain = {
            name: dict(cast("Mapping[str, Any]", value))
            for name, value in given.items()
            if type(value) is MappingProxyType
        }
        return _unpickled, ({**given, **plain},)

    def __post_init__(self) -> None:
        """Check every option that was given, once, and freeze what can change.

        Raises:
            SpecError: Naming the service, the option and the value.
        """
        values = _values_of(self)
        given = dict(compress(zip(_NAMES, values, strict=True), map(is_not, values, _DEFAULTS.values())))
        keep = object.__setattr__  # the only way to set a field of a frozen dataclass
        for name, value in check_options(self.id, self.argv, given, _DEFAULTS):
            keep(self, name, value)


def _unpickled(given: dict[str, Any]) -> Spec:
    return Spec(**given)


def _as_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    # The keywords are wider than the fields (any iterable, any path); __post_init__ narrows them.
    return dict(options)


# Options at their defaults are not checked, for speed: each Process makes a Spec.
_DEFAULTS: dict[str, object] = {
    each.name: each.default if each.default_factory is MISSING else each.default_factory()
    for each in dataclasses.fields(Spec)
    if each.name in OPTIONS
}
_NAMES: tuple[str, ...] = tuple(_DEFAULTS)
_values_of: Callable[[Spec], tuple[object, ...]] = attrgetter(*_NAMES)


def describe(id: str | None, argv: tuple[str | PathLike, ...], options: SpecOptions) -> Spec:
    """Make the Spec of a Process that no Service owns: by default with its output kept, and the program's own name.

    Raises:
        SpecError: For an option that does not exist, or is for a Service, or a value that cannot be.
    """
    return (_described if _is_lasting(id, argv, options) else _describe)(id, argv, **options)


def _describe(id: str | None, argv: tuple[str | PathLike, ...], **options: Unpack[SpecOptions]) -> Spec:
    options.setdefault("buffered", options.get("output", "read") == "read")
    refuse_options_of_services(options)
    return Spec.of(id if id is not None else _name_of(argv), argv, **options)


_described: Callable[..., Spec] = functools.lru_cache(maxsize=256, typed=True)(_describe)
"""The same, remembered: who runs a command again and again need not have it checked each time. A Spec never changes."""

_LASTING = frozenset({str, int, float, bool, type(None), Stop})
"""What may be remembered: it never changes and holds nothing open. With all else a Spec is made each time."""

_SHORT = 1000
"""Letters of a command line that is remembered, as a script may be large."""


def _is_lasting(id: str | None, argv: tuple[str | PathLike, ...], options: SpecOptions) -> bool:
    """Return whether a description may be remembered; what is fed to a program is held by nobody but its Process."""
    if "stdin" in options or not _LASTING.issuperset(map(type, (id, *options.values()))):
        return False
    return {str}.issuperset(map(type, argv)) and sum(map(len, cast("tuple[str, ...]", argv))) <= _SHORT


def _name_of(argv: tuple[str | PathLike, ...]) -> str:
    """Return the program's own name, for a process that was given none."""
    first = argv[0] if argv else ""
    text = first if isinstance(first, str) or not isinstance(first, PathLike) else first.__fspath__()
    name = text.rsplit("/", 1)[-1].strip() if isinstance(text, str) else ""
    return name.replace("\0", "") or "process"

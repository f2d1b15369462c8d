"""Spec: the frozen description of a program and the rules for running it.

A Spec that exists is valid: its constructor refuses everything that can be refused without asking the operating system.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from itertools import compress
from operator import attrgetter, is_not
from types import MappingProxyType, ModuleType
from typing import Any, Self, Unpack, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.after import After
from aioverseer.core.options.alive import Alive
from aioverseer.core.options.checks import (
    OPTIONS,
    all_refusals,
    check_names,
    check_options,
    refuse_options_of_services,
)
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.containment import AskedContainment
from aioverseer.core.options.destinations import Destination, streams_read
from aioverseer.core.options.framing import AnyFraming, Lines
from aioverseer.core.options.give_up import OnGiveUp
from aioverseer.core.options.held_socket import HeldSocket
from aioverseer.core.options.hooks import Hook
from aioverseer.core.options.keywords import Leftovers, Rlimit, SpecOptions, Stdin, Streaming
from aioverseer.core.options.log import Log
from aioverseer.core.options.main_pid import MainPid
from aioverseer.core.options.recycle import Recycle
from aioverseer.core.options.reload import Reload
from aioverseer.core.options.restart import Restart
from aioverseer.core.options.roll import Roll
from aioverseer.core.options.schedule_base import Schedule
from aioverseer.core.options.stop import Stop
from aioverseer.core.options.watch import Watch
from aioverseer.core.typing import DEFAULT_LINE_BUFFER_SIZE, DEFAULT_STREAM_QUEUE_SIZE, PathLike

__all__ = ["Spec", "describe", "is_template", "port_of"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@exported_from("aioverseer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A program to run, and the rules for running it.

    Attributes:
        id: Name of the service, shown in every message, event and line.
        argv: Program and its arguments, each on its own and taken literally: no shell, no globbing, no ``~``.
        cwd: Working directory; None is that of the host.
        env: Whole environment, as in ``subprocess``; None inherits that of the host.
        extra_env: Variables added to ``env`` or to the inherited environment.
        stdin: Input of the program. None is the null device, ``"pipe"`` is for ``write()``, ``"inherit"`` is the input
            of the host. Any other text, or bytes, is fed to the program. A ``pathlib.Path`` is a file to read, and an
            open file is passed on. An async iterable of text or bytes is fed as it comes: an iterator feeds one run, a
            function that returns one feeds each run. Of a Process the output becomes the input, by a pipe of the
            kernel; the Spec keeps it as a pattern, and each run starts a program of its own.
        pty: Whether the program runs on a terminal of its own. Standard output and standard error are then one stream.
            ``stdin`` must then be None or ``"pipe"`` for ``write()``, or the text, bytes or iterable to feed.
        window_size: Columns and rows of that terminal.
        output: Destination of standard output and standard error. ``"read"``: pipes that this library reads.
            ``"inherit"``: the streams of the host. ``"null"``: the null device. An open file: the program writes to it
            by itself. A Process that is neither buffered nor streaming reads nothing, so it uses the null device too.
        stdout: Destination of standard output, if it differs from ``output``.
        stderr: Destination of standard error, if it differs from ``output``.
        buffered: Whether all lines are kept, without a limit, for ``Status.stdout`` and ``Status.stderr``. A Process
            is buffered by default, unless it streams.
        streaming: Whether lines are delivered through ``Process.stdout`` and ``Process.stderr``. No line is lost: a
            slow reader slows the program, and a queue that nobody reads holds it up. ``"stdout"`` or ``"stderr"``
            delivers that stream alone. Of the other one the last lines are kept for error messages, and the program
            never waits for it.
        merge_stderr: Whether standard error goes into standard output, in order.
        framing: Division of the output into items; see ``aioverseer.framing``. One for both streams, or a dict of
            ``"stdout"`` and ``"stderr"``; lines by default. Log files keep the bytes whatever the framing is.
        encoding: Encoding of the output; None delivers bytes.
        errors: Handling of bytes that the encoding does not know, as in ``bytes.decode``. ``"strict"`` is refused, as
            it would end the reading; take ``encoding=None`` for bytes, and decode them yourself. If an error handler
            of your own raises, the bytes are replaced.
        line_limit: Longest line in bytes, 16 or more; a longer line arrives in pieces of this size.
        queue_size: Number of lines or other items that a stream holds before the program is slowed down. Frames also
            count by their bytes, 16 KiB for each line, so that large ones do not fill the memory.
        drain_timeout: Seconds to wait for the end of the output after the program has ended, if another process still
            holds its pipe.
        leftovers: Treatment of processes that the program leaves at its end. ``"kill"`` kills those in its group, and
            after the last run also those that have left the group. ``"keep"`` lets them live and goes on reading their
            output until the block of the overseer, or of the Process, ends. ``"report"`` does the same and reports
            them: in ``Process.survivors`` and as a warning in the log.
        main_pid: How the program tells which of its processes is the main one, which is then watched, signalled and
            stopped: ``"notify"``, by ``MAINPID=`` of sd_notify(3), or a ``PidFile``. None is the process that was
            spawned. With a PidFile the program may go into the background, and it is not ready before the file names
            one of its processes.
        containment: Level of containment, if it differs from that of the overseer: ``"basic"``, ``"guarded"``,
            ``"strict"``, ``"pidns"`` or ``"auto"``; see ``Containment``.
        memory_max: Bytes that the program and everything it starts may use together. Above it the kernel kills them
            all, and the reason says ``out of memory``. Like the next two, it needs cgroup v2 with that controller.
        pids_max: Number of processes and threads that the program and everything it starts may be together.
        cpu_max: Number of processors that they may use together, for example 0.5.
        user: Name or number of the user to run as, also ``"name:group"``; needs ``setpriv``.
        extra_groups: Names or numbers of supplementary groups; needs ``setpriv``.
        umask: Mode bits that new files of the program do not get, in octal: ``0o022``.
        nice: Scheduling priority, from -20 (first) to 19 (last).
        rlimits: Resource limits by their names in prlimit(1), for example ``{"nofile": (1024, 4096)}``; -1 is
            no limit.
        no_new_privileges: Whether the program and its descendants can gain no privileges by an exec, such as those of
            set-user-id programs; needs ``setpriv``.
        oom_score_adj: Preference of the kernel when memory runs out, from -1000 (never killed) to 1000 (killed first);
            needs ``choom``.
        cpus: Numbers of the processors that the program and its descendants may use; needs ``taskset``. Without
            numbers there is no limit.
        io_class: Priority on disks: ``"idle"``, ``"best-effort"`` or ``"realtime"``. The last two may have a level from
            0 (first) to 7 (last), as in ``"best-effort:7"``. It needs ``ionice``.
        ambient_capabilities: Names of capabilities(7) that the program keeps although it does not run as root, for
            example ``["net_bind_service"]`` for ports below 1024; needs ``setpriv``.
        delay_start: Seconds to wait before the first start.
        max_runtime: Seconds that a run may live. After that it is stopped by its ladder, and counts as a failure. None
            is no limit.
        schedule: A Cron or an Every, which starts each run of a service; None runs it from its start on. Between its
            runs the service is WAITING.
        stop: Ladder of signals that stops the program.
        prepare: Async function ``(service, run)``, given the number of the run, or a list of words, a command. It comes
            before each run, in STARTING and within ``ready_timeout``. The function may return a dict of options that
            are changed for this run. A failure counts as a failed start.
        cleanup: Async function ``(service, status)``, given the final Status of the run, or a list of words, a command.
            It comes after each run, once everything of the run is gone. The next run waits for it, and it may take as
            long as the ladder of ``stop``. A failure is reported, and changes nothing.
        reload: Way in which ``Service.reload`` lets the program read its configuration again. A signal, for example
            ``signal.SIGHUP``, goes to the program alone. A list of words is a command, with the process id of the
            program in place of ``{pid}``. ``"notify"`` sends SIGHUP and waits for ``READY=1``, as ``notify-reload`` of
            systemd does.
        restart: Restart policy; only a Service restarts.
        recycle: Limits of memory and age at which a run is replaced by a new one, outside of the restart budget. An
            instance is rolled, any other service is restarted.
        watch: Files whose change restarts the service, outside of the restart budget; needs the extra ``watch``.
        ready: Probe that shows that the program can do its work; see ``aioverseer.ready``. With None the program is
            ready as soon as it has been started.
        ready_timeout: Seconds from the start within which the program must be ready. Otherwise it is stopped by its
            ladder, and the run counts as a failure. None is no limit.
        alive: Liveness check of a program that is ready.
        roll: Rules of a rolling restart of instances; None for those of ``Roll()``. See ``Instances.roll``.
        after: Services that must come first when a set is started: a name, a list of names or ``After``, or a dict
            such as ``{"migrate": "success"}``. Only services have an order.
        critical: Whether the overseer stops everything when this service ends for good by itself.
        on_give_up: Consequence when the restart budget is spent. ``"leave"``: nothing more. ``"stop"``: stop the group;
            without a group, everything. ``"end"``: end the overseer, as ``critical`` does. A function is called with
            the ``GaveUp``. In a group with a strategy the group gives up instead: see ``Overseer.group``.
        group: Label for ``list_group()``. If a group of this name was made by ``Overseer.group``, the service joins it.
        significant: Whether an end of the service by itself counts for ``auto_shutdown`` of its group.
        log: A LogFile, a LogBridge, or a list of them, instead of the logs of the overseer. None uses those of the
            overseer; an empty list is no log at all. Only a Service keeps logs.
        instances: Number of Services ``web.0``, ``web.1`` and so on that run this program; None for a lone Service.
            ``Overseer.add_instances`` takes it. ``{index}``, ``{id}``, ``{run}``, ``{port}`` and ``{fd.NAME}`` are then
            replaced in ``argv``, ``cwd``, the values of ``extra_env``, the path of a LogFile, the texts of probes, and
            the commands of ``reload``, ``prepare``, ``cleanup`` and ladders. All other braces stay as they are, and
            ``{{id}}`` is the text ``{id}``.
        port: Ports for ``{port}``, for example ``range(9000, 9100)``: each run gets one that no other run has. None
            takes any free port. With ``port`` or ``listen``, placeholders are replaced for a lone Service, too.
        listen: Listening sockets by name that the overseer holds while the program restarts; see
            ``aioverseer.listen``. The program gets them as descriptors 3, 4 and so on. They are closed when the service
            is stopped or has finished, and stay open when it gives up.
        on_demand: Whether the first connection to one of these sockets starts the program. Before it, and after an end
            that ``restart`` leaves at that, the service is WAITING.
    """

    id: str
    argv: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] | None = field(default=None, repr=False, hash=False)
    extra_env: Mapping[str, str] = field(default_factory=lambda: _NOTHING, repr=False, hash=False)
    stdin: Stdin = field(default=None, repr=False)
    pty: bool = False
    window_size: tuple[int, int] = (80, 24)
    output: Destination = field(default="read", hash=False)
    stdout: Destination | None = field(default=None, hash=False)
    stderr: Destination | None = field(default=None, hash=False)
    buffered: bool = False
    streaming: Streaming = False
    merge_stderr: bool = False
    framing: AnyFraming = field(default=Lines(), hash=False)
    encoding: str | None = "utf-8"
    errors: str = "replace"
    line_limit: int = DEFAULT_LINE_BUFFER_SIZE
    queue_size: int = DEFAULT_STREAM_QUEUE_SIZE
    drain_timeout: float = 0.5
    leftovers: Leftovers = "kill"
    main_pid: MainPid | None = None
    containment: AskedContainment | None = None
    memory_max: int | None = None
    pids_max: int | None = None
    cpu_max: float | None = None
    user: str | int | None = None
    extra_groups: tuple[str | int, ...] = ()
    umask: int | None = None
    nice: int | None = None
    rlimits: Mapping[str, Rlimit] = field(default_factory=lambda: _NOTHING, hash=False)
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    cpus: tuple[int, ...] = ()
    io_class: str | None = None
    ambient_capabilities: tuple[str, ...] = ()
    delay_start: float = 0.0
    max_runtime: float | None = None
    schedule: Schedule | None = None
    stop: Stop = Stop()  # noqa: RUF009  # frozen: one for all
    prepare: Hook | None = field(default=None, hash=False)
    cleanup: Hook | None = field(default=None, hash=False)
    reload: Reload | None = None
    restart: Restart = Restart()  # noqa: RUF009  # frozen: one for all
    recycle: Recycle | None = None
    watch: Watch | None = None
    ready: Probe | None = None
    ready_timeout: float | None = 30.0
    alive: Alive | None = None
    roll: Roll | None = None
    after: tuple[After, ...] = ()
    critical: bool = False
    on_give_up: OnGiveUp = "leave"
    group: str = ""
    significant: bool = False
    log: tuple[Log, ...] | None = None
    instances: int | None = None
    port: range | None = None
    listen: Mapping[str, HeldSocket] = field(default_factory=lambda: _NOTHING, hash=False)
    on_demand: bool = False

    @classmethod
    def of(cls, id: str, argv: Iterable[object], **options: Unpack[SpecOptions]) -> Self:
        """Make a Spec from an id, arguments and options.

        Args:
            id: Name of the service.
            argv: Program and its arguments.
            **options: Attributes of this class, by name.

        Raises:
            SpecError: For an unknown option, or a value that an option does not take.
        """
        check_names(id, options)
        return cls(id=id, argv=cast("tuple[str, ...]", argv), **_as_fields(options))

    def updated(self, **options: Unpack[SpecOptions]) -> Self:
        """Return a copy with these options changed.

        Raises:
            SpecError: For an unknown option, or a value that an option does not take.
        """
        check_names(self.id, options)
        return dataclasses.replace(self, **_as_fields(options))

    def with_command(self, argv: Iterable[object]) -> Self:
        """Return a copy with another program and other arguments.

        Args:
            argv: Program and its arguments.

        Raises:
            SpecError: For an argument that no program can get.
        """
        return dataclasses.replace(self, argv=cast("tuple[str, ...]", argv))

    def to_dict(self) -> dict[str, Any]:
        """Return the Spec as JSON values, with the names of files.

        ``id`` and ``command`` come first, and then each option that is not at its default. A function or class is
        ``{"function": "module:name"}``. Data cannot describe a lambda, a function inside of a function, an open file or
        another object: it is ``{"object": "module:name"}``, which ``from_dict`` refuses. The ``rng`` of a Backoff is
        left out.

        The values of ``env``, ``extra_env`` and ``stdin`` are part of it: they may be secret.
        """
        written: dict[str, Any] = _data().spec_to_dict(self.id, self.argv, _given(self), _DEFAULTS)
        return written

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a Spec from the data of ``to_dict``, or of a file.

        A function is imported by its name, so the data must come from somebody who may run programs here.

        Args:
            data: JSON values.

        Raises:
            SpecError: For everything that is wrong at once: unknown options, values that an option does not take,
                objects that data cannot describe. It is a ``DataError`` of ``aioverseer.forms``, with the places. The
                values of variables are no part of the message.
        """
        made: Self = _data().read_spec(data, functools.partial(_made, cls), _refusals)
        return made

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the data that ``from_dict`` reads, with descriptions of all options."""
        return {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": "#/$defs/spec",
            "$defs": _data().definitions(cls),
        }

    def __reduce__(self) -> tuple[Callable[..., Spec], tuple[dict[str, Any]]]:
        """Pickle the Spec by its options; functions among them, as in ``ready.check``, must be importable."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # A read-only view cannot be pickled. The constructor makes one of the plain dict again.
        plain = {
            name: dict(cast("Mapping[str, Any]", value))
            for name, value in given.items()
            if type(value) is MappingProxyType
        }
        return _unpickled, ({**given, **plain},)

    def __post_init__(self) -> None:
        """Check every option that was given, and store it in its final, immutable form.

        Raises:
            SpecError: Naming the service, the option and the value.
        """
        given = _given(self)
        keep = object.__setattr__  # the only way to set a field of a frozen dataclass
        for name, value in check_options(self.id, self.argv, given, _DEFAULTS):
            keep(self, name, value)


def is_template(spec: Spec) -> bool:
    """Return whether the placeholders of a Spec are replaced for each run."""
    return spec.instances is not None or spec.port is not None or bool(spec.listen)


def names_descriptors(spec: Spec) -> bool:
    """Return whether a placeholder names the descriptor of a socket, as in ``--fd={fd.http}``."""
    texts = (*spec.argv, *spec.extra_env.values(), spec.cwd or "")
    return any(f"{{fd.{name}}}" in text for text in texts for name in spec.listen)


def port_of(spec: Spec) -> int | None:
    """Return the port of the Spec of one run; None without one."""
    return spec.port[0] if spec.port is not None and len(spec.port) == 1 else None


def _unpickled(given: dict[str, Any]) -> Spec:
    return Spec(**given)


def _made(kind: type[Spec], id: Any, argv: Any, options: dict[str, Any]) -> Spec:
    return kind.of(id, argv, **cast("SpecOptions", options))


def _data() -> ModuleType:
    from aioverseer.core.options import spec_data  # noqa: PLC0415  # few hosts need it

    return spec_data


def _refusals(id: Any, argv: Any, options: Mapping[str, Any]) -> list[SpecError]:
    """Return everything that a Spec refuses."""
    given = {name: value for name, value in options.items() if value is not _DEFAULTS[name]}
    return all_refusals(id, argv, given, _DEFAULTS)


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


def _given(spec: Spec) -> dict[str, Any]:
    """Return the options that are not the objects of the defaults."""
    values = _values_of(spec)
    return dict(compress(zip(_NAMES, values, strict=True), map(is_not, values, _DEFAULTS.values())))


def describe(id: str | None, argv: tuple[str | PathLike, ...], options: SpecOptions) -> Spec:
    """Make the Spec of a Process without a Service: named after its program, and buffered unless it streams.

    Raises:
        SpecError: For an option that is unknown or only for a Service, or a value that is refused.
    """
    return (_described if _is_lasting(id, argv, options) else _describe)(id, argv, **options)


def _describe(id: str | None, argv: tuple[str | PathLike, ...], **options: Unpack[SpecOptions]) -> Spec:
    options.setdefault("buffered", bool(streams_read(options)) and not options.get("streaming", False))
    refuse_options_of_services(options)
    return Spec.of(id if id is not None else _name_of(argv), argv, **options)


_described: Callable[..., Spec] = functools.lru_cache(maxsize=256, typed=True)(_describe)
"""Cached form of ``_describe``: a command that runs again and again is checked once, as a Spec never changes."""

_LASTING = frozenset({str, int, float, bool, type(None), Stop})
"""Types of values that may be cached: immutable, and without open resources."""

_SHORT = 1000
"""Longest command line, in characters, that is cached: a script may be large."""


def _is_lasting(id: str | None, argv: tuple[str | PathLike, ...], options: SpecOptions) -> bool:
    """Return whether a description may be cached; never with ``stdin``, which only its Process may keep alive."""
    if "stdin" in options or not _LASTING.issuperset(map(type, (id, *options.values()))):
        return False
    return {str}.issuperset(map(type, argv)) and sum(map(len, cast("tuple[str, ...]", argv))) <= _SHORT


def _name_of(argv: tuple[str | PathLike, ...]) -> str:
    """Return the name of the program, for a process without an id."""
    first = argv[0] if argv else ""
    text = first if isinstance(first, str) or not isinstance(first, PathLike) else first.__fspath__()
    name = text.rsplit("/", 1)[-1].strip() if isinstance(text, str) else ""
    return name.replace("\0", "") or "process"

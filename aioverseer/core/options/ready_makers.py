"""Functions that make probes, with checks of their arguments; ``aioverseer.ready`` exports them."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, cast

from aioverseer.core.errors import SpecError
from aioverseer.core.export import exported_from
from aioverseer.core.options.composition import Probe
from aioverseer.core.options.meant import probe_for
from aioverseer.core.options.numbers import expands, no_seconds
from aioverseer.core.options.placeholders import words_in
from aioverseer.core.options.probes import (
    CHECK_TIMEOUT,
    Check,
    Command,
    Fd,
    File,
    Http,
    Notify,
    OutputLine,
    OutputPrompt,
    Owner,
    Tcp,
    Unix,
)
from aioverseer.core.typing import PathLike

__all__ = ["SUCCESS", "check", "command", "fd", "file", "http", "line", "notify", "prompt", "tcp", "unix"]

_PORTS = range(1, 1 << 16)
_DESCRIPTORS = range(3, 10)
"""A POSIX shell need not accept descriptors of more than one digit in a redirection."""
SUCCESS = frozenset(range(200, 300))
"""Status codes that ``http`` accepts by default."""
_STATUSES = range(100, 600)


@exported_from("aioverseer.ready")
def tcp(port: int | str, host: str = "127.0.0.1", *, owner: Literal["program", "any"] = "program") -> Probe:
    """Return a probe: a TCP port accepts connections. The probe connects, and closes the connection at once.

    A stranger does not fulfil the probe: a program that listened there before the start, or another program of this
    host. The start then fails at once, and the error names the stranger.

    Args:
        port: Number of the port, 1 to 65535; or a text with placeholders, such as ``"{port}"``, for a service whose
            runs get ports.
        host: Name or address of the host. The owner is checked on ``localhost`` and addresses of this machine.
        owner: ``"any"`` accepts any program that listens, such as a proxy.

    Raises:
        SpecError: When an argument has a wrong type or value.
    """
    if isinstance(port, str) and words_in(port):
        return Tcp(host=_text("tcp", "host", host), port=port, owner=_owner("tcp", owner))
    if not isinstance(port, int) or isinstance(port, bool):
        raise _refused("tcp", "port", port, f"is no port: pass 1 to 65535{_as_address(port, host)}")
    if port not in _PORTS:
        raise _refused("tcp", "port", port, f"is too {'low' if port < 1 else 'high'}: pass 1 to 65535")
    return Tcp(host=_text("tcp", "host", host), port=port, owner=_owner("tcp", owner))


@exported_from("aioverseer.ready")
def unix(path: str | PathLike, *, owner: Literal["program", "any"] = "program") -> Probe:
    """Return a probe: a UNIX socket accepts connections. The probe connects, and closes the connection at once.

    A stranger does not fulfil the probe; see ``tcp``.

    Args:
        path: Path of the socket; a relative path begins at the folder in which the program runs. A leading ``@``
            means Linux's abstract namespace.
        owner: ``"any"`` accepts any program that listens.

    Raises:
        SpecError: When ``path`` is empty or not text, or ``owner`` is unknown.
    """
    return Unix(path=_path("unix", path), owner=_owner("unix", owner))


@exported_from("aioverseer.ready")
def http(
    url: str,
    *,
    status: int | Iterable[int] | None = None,
    body: str | re.Pattern[str] | None = None,
    owner: Literal["program", "any"] = "program",
) -> Probe:
    """Return a probe: a GET request gets the right answer. Redirects are not followed.

    The probe needs httpx: ``pip install 'aioverseer[http]'``. A stranger does not fulfil it; see ``tcp``.

    Args:
        url: Address with scheme and host, for example ``"http://127.0.0.1:8000/health"``.
        status: One status code or several that are right; None accepts 200 to 299.
        body: Regular expression that must match somewhere in the first 64 KiB of the answer; None accepts any answer.
        owner: ``"any"`` accepts an answer of any program, such as a proxy.

    Raises:
        SpecError: When an argument has a wrong value, or httpx is not installed.
    """
    if not isinstance(url, str) or not re.match(r"https?://[^/\s]", url):
        raise _refused("http", "url", url, "is no URL: begin it with http:// or https:// and a host")
    if isinstance(status, str | bytes) or not isinstance(status, int | Iterable | None):
        raise _refused("http", "status", status, "is no status: pass 100 to 599, or several, for example {200, 204}")
    wanted = SUCCESS if status is None else (status,) if isinstance(status, int) else tuple(status)
    for number in wanted:
        if not isinstance(number, int) or number not in _STATUSES:
            raise _refused("http", "status", number, "is no status: pass 100 to 599, or several")
    if importlib.util.find_spec("httpx") is None:
        raise SpecError(f"ready.http({url!r}) needs httpx: pip install 'aioverseer[http]'", option="ready", value=url)
    return Http(
        url=url,
        status=frozenset(wanted),
        body=None if body is None else _pattern("http", "body", body),
        owner=_owner("http", owner),
    )


@exported_from("aioverseer.ready")
def line(pattern: str | re.Pattern[str], stream: Literal["stdout", "stderr"] | None = None) -> Probe:
    """Return a probe: the program writes a line that matches a regular expression.

    Args:
        pattern: Regular expression, which may match anywhere in the line, as with ``re.search``.
        stream: Stream to read, ``"stdout"`` or ``"stderr"``; None reads both.

    Raises:
        SpecError: When ``pattern`` is no regular expression, or ``stream`` is unknown.
    """
    return OutputLine(pattern=_pattern("line", "pattern", pattern), stream=_stream("line", stream))


@exported_from("aioverseer.ready")
def prompt(pattern: str | re.Pattern[str], stream: Literal["stdout", "stderr"] | None = None) -> Probe:
    """Return a probe: the program writes text that matches, also in a line that has no end yet, such as ``login: ``.

    The text stays in the queue of its stream, where ``expect()`` finds it.

    Args:
        pattern: Regular expression, which may match anywhere in one line, as with ``re.search``.
        stream: Stream to read, ``"stdout"`` or ``"stderr"``; None reads both.

    Raises:
        SpecError: When ``pattern`` is no regular expression, or ``stream`` is unknown.
    """
    return OutputPrompt(pattern=_pattern("prompt", "pattern", pattern), stream=_stream("prompt", stream))


@exported_from("aioverseer.ready")
def file(path: str | PathLike, *, fresh: bool = True) -> Probe:
    """Return a probe: a file or a folder exists.

    Args:
        path: Path of the file; a relative path begins at the folder in which the program runs.
        fresh: Whether a file that existed before the start must be written to or replaced before it counts. An earlier
            run may have left it.

    Raises:
        SpecError: When ``path`` is empty or not text.
    """
    return File(path=_path("file", path), fresh=bool(fresh))


@exported_from("aioverseer.ready")
def command(*argv: str | PathLike) -> Probe:
    """Return a probe: a command exits with code 0, for example ``ready.command("pg_isready", "-q")``.

    The command runs in the folder of the program, with its environment and as its user. Its program must be there
    before the start, which fails at once without it. For a file that the program itself makes, pass a shell:
    ``ready.command("sh", "-c", "./made-later")``.

    Args:
        *argv: Command and arguments, taken literally: no shell reads them.

    Raises:
        SpecError: When there is no command, or an argument is not text.
    """
    if not argv:
        raise _refused("command", "argv", argv, "is empty: name the command to run")
    first: object = argv[0]
    if isinstance(first, list | tuple):
        raise _refused("command", "argv", first, f"is one list: unpack it: *{first!r}")
    if len(argv) == 1 and isinstance(first, str) and "/" not in first and len(first.split()) > 1:
        separate = ", ".join(map(repr, first.split()))
        raise _refused("command", "argv", first, f"is one text, and arguments are separate: pass {separate}")
    return Command(argv=tuple(_path("command", item) if place == 0 else _word(item) for place, item in enumerate(argv)))


@exported_from("aioverseer.ready")
def notify() -> Probe:
    """Return a probe: the program sends ``READY=1`` to the socket in ``NOTIFY_SOCKET``, as sd_notify(3) describes.

    Other messages count too: ``STATUS=`` is shown, and ``EXTEND_TIMEOUT_USEC=`` lengthens ``ready_timeout``. Only the
    program and the programs that it starts are listened to. In ``Alive`` the probe is the watchdog: ``WATCHDOG=1``.
    """
    return Notify()


@exported_from("aioverseer.ready")
def fd(number: int = 3) -> Probe:
    """Return a probe: the program writes a newline to a descriptor, as services of s6 do.

    Args:
        number: Descriptor in the program, 3 to 9.

    Raises:
        SpecError: When ``number`` is outside of that range.
    """
    if not isinstance(number, int) or isinstance(number, bool) or number not in _DESCRIPTORS:
        raise _refused("fd", "number", number, "cannot be passed: pass 3 to 9")
    return Fd(number=number)


@exported_from("aioverseer.ready")
def check(
    function: Callable[[], Awaitable[object]] | Callable[[Any], Awaitable[object]],
    *,
    timeout: float | None = CHECK_TIMEOUT,
) -> Probe:
    """Return a probe of your own: an async function neither raises nor returns False.

    The function is called repeatedly until it succeeds, one call at a time.

    Args:
        function: Async function, or a plain one that does not block. It takes no argument, or one: the ``Process``,
            with its pid, output and input.
        timeout: Seconds after which a call is cancelled, and repeated; None for no limit but ``ready_timeout``.
            In ``Alive``, its own ``timeout`` counts.

    Raises:
        SpecError: When ``function`` cannot be called with no argument or one, or ``timeout`` is no number of seconds.
    """
    given: object = function
    if inspect.isawaitable(given):
        raise _refused("check", "function", given, "is the result of a call: pass the function itself")
    if not callable(given):
        raise _refused("check", "function", given, "cannot be called: pass an async function")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some built-in functions have no signature
        parameters = []
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(needed) > 1:
        raise _refused("check", "function", function, "takes too much: it is given nothing, or the Process")
    if timeout is not None and (why := no_seconds(timeout, above=True, none="for no limit")) is not None:
        raise _refused("check", "timeout", timeout, why)
    name = str(getattr(function, "__name__", None) or type(function).__name__)
    return Check(function=function, name=name, takes_process=bool(needed), timeout=timeout)


def _as_address(port: object, host: object) -> str:
    """Return how to write a port that was given as text, as a part of an address, or after the host."""
    meant = probe_for(f"{port}:{host}" if isinstance(host, int) else port)
    return f"; write {meant}" if isinstance(port, str) and meant and meant.startswith("ready.tcp") else ""


def _refused(probe: str, name: str, value: object, why: str) -> SpecError:
    return SpecError(f"ready.{probe}: {name}={value!r} {why}", option="ready", value=value)


def _owner(probe: str, value: Owner) -> Owner:
    if value not in ("program", "any"):
        raise _refused(probe, "owner", value, 'is unknown: pass "program" or "any"')
    return value


def _stream(probe: str, value: Literal["stdout", "stderr"] | None) -> Literal["stdout", "stderr"] | None:
    if value not in (None, "stdout", "stderr"):
        raise _refused(probe, "stream", value, 'is unknown: pass "stdout", "stderr" or None')
    return value


def _text(probe: str, name: str, value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _refused(probe, name, value, "is no text: pass a non-empty str")
    return value


def _path(probe: str, value: object) -> str:
    text = _text(probe, "path", value.__fspath__() if isinstance(value, PathLike) else value)
    if (why := expands(text)) is not None:
        raise _refused(probe, "path", value, why)
    return text


def _word(value: object) -> str:
    text = value.__fspath__() if isinstance(value, PathLike) else value
    if not isinstance(text, str) or "\0" in text:
        raise _refused("command", "argv", value, "is no argument: every one is a str or a path, without NUL")
    return text


def _pattern(probe: str, name: str, value: Any) -> re.Pattern[str]:
    given: object = value
    if isinstance(value, re.Pattern):
        compiled = cast("re.Pattern[Any]", value)  # type: ignore[redundant-cast]  # pyright knows less of Any here
        if isinstance(compiled.pattern, str):
            return compiled
    try:
        return re.compile(_text(probe, name, given))
    except re.error as error:
        raise _refused(probe, name, given, f"is no regular expression: {error}") from None

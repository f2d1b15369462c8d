"""Advice about services that are valid, and will surprise when they run.

Each rule takes all Specs and yields what it finds. Nothing is read from the system here: the caller passes the lookup
of programs.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from aioverseer import Spec
from aioverseer.core.export import exported_from

__all__ = ["RULES", "Advice", "advise"]


@exported_from("aioverseer.config")
@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Something that will surprise, and what to do about it.

    Attributes:
        service: The id of the service.
        rule: The name of the rule, a key of ``RULES``.
        text: Description of the surprise.
        hint: Advice.
    """

    service: str
    rule: str
    text: str
    hint: str

    def __str__(self) -> str:
        """Return the advice as one line."""
        return f"{self.service}: {self.text}: {self.hint}"

    def masked(self, hide: Callable[[str, str], str]) -> Advice:
        """Return the advice without values of the environment.

        Args:
            hide: A function that takes them out of a text, given the service and the text: ``config.hidden``.
        """
        return replace(self, text=hide(self.service, self.text), hint=hide(self.service, self.hint))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A Spec, and its form as data.

    Attributes:
        spec: The Spec.
        data: Its options that are not at their defaults; see ``Spec.to_dict``.
    """

    spec: Spec
    data: Mapping[str, Any]


Lookup = Callable[[str, str | None, str | None], bool]
"""Whether a program is found, by its name, its working folder, and the PATH of its environment."""


@exported_from("aioverseer.config")
def advise(specs: Iterable[Spec], *, is_found: Lookup | None = None) -> tuple[Advice, ...]:
    """Return what will surprise, in the order of the services.

    Args:
        specs: The Specs of one overseer.
        is_found: The lookup of programs, given name, working folder and PATH, each of the last two None for those of
            this process. Without it no program is looked up.
    """
    subjects = [Subject(spec=spec, data=spec.to_dict()) for spec in specs]
    found: list[Advice] = []
    for name, rule in RULES.items():
        found += (Advice(service=id, rule=name, text=text, hint=hint) for id, text, hint in rule(subjects))
    if is_found is not None:
        found += _missing_programs(subjects, is_found)
    places = {subject.spec.id: place for place, subject in enumerate(subjects)}
    return tuple(sorted(found, key=lambda each: places[each.service]))


Found = tuple[str, str, str]
"""The id of a service, what will happen, and what to do."""


def _no_path(subjects: Sequence[Subject]) -> Iterator[Found]:
    for subject in subjects:
        env = subject.spec.env
        if env is not None and "PATH" not in env and "PATH" not in subject.spec.extra_env:
            yield (
                subject.spec.id,
                "env is the whole environment, and has no PATH: the program, and what it starts, find no other program",
                "use extra_env, which adds to the environment, or add PATH",
            )


_FORKING = {
    "npm": "node_modules/.bin/...",
    "npx": "node_modules/.bin/...",
    "pnpm": "node_modules/.bin/...",
    "yarn": "node_modules/.bin/...",
    "bun": "the script with its own program",
    "nodemon": "node",
    "tsx": "node --import tsx",
    "uv": ".venv/bin/...",
    "uvx": "the program of the tool",
    "make": "the command of the target",
    "go": "go build, and the program",
    "sudo": "user =",
    "su": "user =",
    "timeout": "max_runtime =",
    "time": "the program",
    "setsid": "the program, which leads a session of its own",
    "script": "pty = true",
    "strace": "the program",
    "flock": "flock --no-fork",
    "xvfb-run": "the program, beside a service for Xvfb",
    "dumb-init": "the program: aioverseer collects what it leaves",
    "tini": "the program: aioverseer collects what it leaves",
}
"""Programs that start the real one as a child, and what to name in their place.

``poetry run``, ``pipenv run``, ``bundle exec`` and ``cargo run`` become the program by an exec, so they are not here.
"""
_SHELLS = frozenset("sh bash dash zsh ksh ash".split())
_COMPOUND = re.compile(r"[;&|\n]|\b(if|for|while|until|case)\b")


def _forks_under_listen(subjects: Sequence[Subject]) -> Iterator[Found]:
    for subject in subjects:
        spec = subject.spec
        if not spec.listen or any("{fd." in word for word in spec.argv):
            continue
        name = spec.argv[0].rpartition("/")[2]
        text = _text_of_shell(name, spec.argv)
        if text is not None:
            # A shell becomes its last command without a fork only if it has nothing else to do.
            if _COMPOUND.search(text) and not re.search(r"(^|[;&|\n{(])\s*exec\s", text):
                yield (
                    spec.id,
                    "the shell starts the program as a child, which ignores LISTEN_FDS, as LISTEN_PID is another's",
                    "write exec before the last command, or pass {fd.NAME} as an argument",
                )
        elif name in _FORKING and "--no-fork" not in spec.argv and "-F" not in spec.argv:
            yield (
                spec.id,
                f"{name} starts the program as a child, which ignores LISTEN_FDS, as LISTEN_PID is another's",
                f"name the program itself ({_FORKING[name]})",
            )


def _text_of_shell(name: str, argv: Sequence[str]) -> str | None:
    """Return the command that a shell is given as text; None if there is none."""
    if name in _SHELLS:
        for option, text in itertools.pairwise(argv[1:]):
            if re.fullmatch(r"-[a-z]*c", option):
                return text
    return None


def _descriptors_without_names(subjects: Sequence[Subject]) -> Iterator[Found]:
    for subject in subjects:
        listen, argv = subject.spec.listen, subject.spec.argv
        missing = [name for name in listen if not any(f"{{fd.{name}}}" in word for word in argv)]
        if missing and len(missing) < len(listen):
            yield (
                subject.spec.id,
                f"the command has no {{fd.NAME}} for {', '.join(missing)}, and for others, so LISTEN_FDS is not set",
                "pass each socket by {fd.NAME}, or none",
            )


def _fixed_port_in_a_roll(subjects: Sequence[Subject]) -> Iterator[Found]:
    for subject in subjects:
        spec = subject.spec
        if spec.instances is None or (spec.roll is not None and spec.roll.surge in (0, "0%") and spec.instances == 1):
            continue
        for port, where in _ports_of(subject).items():
            if where == "listen":
                continue
            several = f"{spec.instances} instances" if spec.instances > 1 else "both runs of a roll"
            yield (
                spec.id,
                f"{several} would listen on port {port} (by {where}), and only one program can",
                f'let the overseer hold it (listen = {{ http = "127.0.0.1:{port}" }}), or write {{port}}',
            )
            break


def _shared_ports(subjects: Sequence[Subject]) -> Iterator[Found]:
    users: dict[int, list[tuple[Subject, str]]] = defaultdict(list)
    for subject in subjects:
        for port, where in _ports_of(subject).items():
            users[port].append((subject, where))
    for port, sharing in users.items():
        first, where = sharing[0]
        for other, there in sharing[1:]:
            if where == there == "listen" or _is_client(other, there, first) or _is_client(first, where, other):
                continue  # one held socket may have several programs, and a client is given its server's port
            yield (
                other.spec.id,
                f"port {port} (by {there}) is that of {first.spec.id} (by {where}), too, and only one can listen on it",
                "give each service a port of its own",
            )


def _is_client(subject: Subject, where: str, server: Subject) -> bool:
    """Return whether an argument with a port belongs to a service that waits for the other one."""
    return where.startswith("command") and any(edge.name == server.spec.id for edge in subject.spec.after)


_PORT_OPTION = re.compile(r"--(?:port|bind|listen|http-port)|-b")
_ADDRESS = re.compile(r"(?:(?P<host>[\w.*-]*|\[[0-9a-fA-F:.]*\]):)?(?P<port>[0-9]{2,5})")
_HERE = {"", "*", "localhost", "127.0.0.1", "0.0.0.0", "[::]", "[::1]", "::", "::1"}  # noqa: S104  # nothing binds here


def _ports_of(subject: Subject) -> dict[int, str]:
    """Return the TCP ports on which a service listens, as far as its options tell, and which option that is."""
    data, spec = subject.data, subject.spec
    ports: dict[int, str] = {}
    for socket in cast("Mapping[str, Mapping[str, Any]]", data.get("listen", {})).values():
        _note(ports, socket.get("tcp"), "listen")
    probes = {"ready": data.get("ready"), "alive": data.get("alive", {}).get("probe")}
    for option, probe in probes.items():
        for leaf in _leaves(probe):
            if leaf.get("owner") != "any" and leaf.get("host", "127.0.0.1") in _HERE:
                _note(ports, leaf.get("tcp"), option)
                _note(ports, _port_of_url(leaf.get("http")), option)
    for env in (spec.extra_env, spec.env or {}):
        _note(ports, env.get("PORT"), "PORT")
    for option, value in _options_in(spec.argv):
        address = _ADDRESS.fullmatch(value)
        if _PORT_OPTION.fullmatch(option) and address and (address["host"] or "") in _HERE:
            _note(ports, address["port"], f"command, {option}")
    return ports


def _options_in(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a command with their values: ``--port=80`` and ``--port 80``."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option.startswith("-"):
            yield option, value if equals else following


def _note(ports: dict[int, str], port: object, where: str) -> None:
    if isinstance(port, str) and port.isascii() and port.isdecimal():
        port = int(port)
    if isinstance(port, int) and port > 0:
        ports.setdefault(port, where)


def _leaves(probe: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(probe, Mapping):
        given = cast("Mapping[str, Any]", probe)
        parts = [*given.get("all", ()), *given.get("any", ())]
        for part in parts:
            yield from _leaves(part)
        if not parts:
            yield given


_URL = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^/:?#]*)(?::(?P<port>[0-9]+))?(?:[/?#]|$)")


def _port_of_url(url: object) -> int | None:
    found = _URL.match(url) if isinstance(url, str) else None
    if found is None or found["host"] not in _HERE:
        return None
    return int(found["port"] or {"http": 80, "https": 443}[found["scheme"]])


def _no_readiness(subjects: Sequence[Subject]) -> Iterator[Found]:
    waiting: dict[str, list[str]] = defaultdict(list)
    for subject in subjects:
        for edge in subject.spec.after:
            if edge.until == "ready":
                waiting[edge.name].append(subject.spec.id)
    for subject in subjects:
        spec = subject.spec
        names = waiting.get(spec.id)
        if not names or spec.ready is not None or spec.on_demand or spec.main_pid is not None:
            continue
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        verb = "waits" if len(names) == 1 else "wait"
        if spec.restart.when == "never":
            hint = f'write after = {{ {spec.id} = "success" }} there, or give {spec.id} a ready ='
        else:
            hint = f'give {spec.id} a ready =, for example {{ tcp = 5432 }}, or wait until it is "started"'
        yield spec.id, f"{who} {verb} until it is ready, and without ready = it is so once it has started", hint


_STAYS: dict[str, tuple[str, str]] = {
    "nginx": ("daemon off", "-g 'daemon off;'"),
    "apache2": ("FOREGROUND", "-D FOREGROUND"),
    "httpd": ("FOREGROUND", "-D FOREGROUND"),
    "php-fpm": (r"-F|--nodaemonize", "--nodaemonize"),
    "sshd": (r"-D|-d+", "-D"),
    "cron": ("-f", "-f"),
    "crond": ("-f", "-f"),
    "supervisord": (r"-n|--nodaemon", "--nodaemon"),
    "varnishd": ("-F", "-F"),
    "dnsmasq": (r"-k|--keep-in-foreground|-d|--no-daemon", "--keep-in-foreground"),
    "rsyslogd": ("-n", "-n"),
}
"""Programs that go into the background, unless a word tells them to stay: a pattern for it, and the word to write."""
_LEAVES: dict[str, str] = {
    "redis-server": r"--daemonize[ =]yes",
    "gunicorn": r"-D|--daemon",
    "unicorn": r"-D|--daemonize",
    "uwsgi": r"-d|--daemonize2?(=.*)?",
    "celery": r"multi|-D|--detach",
    "memcached": r"-d|--daemon",
    "mongod": r"--fork",
    "mysqld": r"--daemonize|-D",
    "haproxy": r"-D",
    "openvpn": r"--daemon",
    "pg_ctl": r"start|restart",
    "apachectl": r"start|restart",
    "pm2": r"start|restart",
}
"""Programs that go into the background when a word tells them to: a pattern for it."""


def _goes_to_background(subjects: Sequence[Subject]) -> Iterator[Found]:
    for subject in subjects:
        spec = subject.spec
        name = spec.argv[0].rpartition("/")[2]
        if spec.main_pid is not None:
            continue
        if name in _STAYS and not any(re.search(rf"(^|\s)({_STAYS[name][0]})(\s|;|$)", word) for word in spec.argv[1:]):
            text = "unless its own configuration keeps it in front"
            hint = f"add {_STAYS[name][1]}"
        elif name in _LEAVES and (
            left := next((word for word in _with_pairs(spec.argv) if re.fullmatch(_LEAVES[name], word)), None)
        ):
            text = f"as {left} says"
            hint = f"leave {left} out"
        else:
            continue
        yield (
            spec.id,
            f"{name} goes into the background, {text}, and then looks as if it had ended",
            f'{hint}, or name its pid file (main_pid = {{ path = "..." }})',
        )


def _with_pairs(argv: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command after the program, and each two of them as one."""
    yield from argv[1:]
    yield from (f"{word} {following}" for word, following in itertools.pairwise(argv[1:]))


_HOME_WORD = re.compile(r"~(/.*)?")
_PATTERN_WORD = re.compile(r"([\w.-]*/)+[\w.-]*\*[\w.*/-]*|\*\.\w+")
_VARIABLE_WORD = re.compile(r"[\w./:=@-]*\$(?P<name>[A-Za-z_]\w*+)[\w./:@-]*")
_LONG_OPTION = re.compile(r"--?[A-Za-z][\w-]+")
_READ_PATTERNS = frozenset("ssh find awk perl grep sed rsync tar watchmedo watchexec xargs envsubst".split())
"""Programs that give such words a meaning themselves."""


def _words_for_a_shell(subjects: Sequence[Subject]) -> Iterator[Found]:
    for subject in subjects:
        argv = subject.spec.argv
        name = argv[0].rpartition("/")[2]
        if name in _READ_PATTERNS or _text_of_shell(name, argv) is not None:
            continue
        for before, word in zip(["", *argv], argv, strict=False):
            variable = _VARIABLE_WORD.fullmatch(word)
            if _HOME_WORD.fullmatch(word):
                hint = "write the whole path"
            elif variable is not None:
                hint = f"write ${{{variable['name']}}} in the file"
            elif _PATTERN_WORD.fullmatch(word) and not _LONG_OPTION.fullmatch(before):
                hint = "write sh -c '...' around the command"
            else:
                continue
            yield subject.spec.id, f"{word!r} in the command stays as it is, as no shell reads it", hint
            break


RULES: dict[str, Callable[[Sequence[Subject]], Iterator[Found]]] = {
    "no-path": _no_path,
    "forks-under-listen": _forks_under_listen,
    "some-descriptors": _descriptors_without_names,
    "fixed-port": _fixed_port_in_a_roll,
    "shared-port": _shared_ports,
    "no-readiness": _no_readiness,
    "goes-to-background": _goes_to_background,
    "no-shell": _words_for_a_shell,
}
"""The rules by name. The lookup of programs, ``missing-program``, needs the system and is not one of them."""


def _missing_programs(subjects: Iterable[Subject], is_found: Lookup) -> Iterator[Advice]:
    known: dict[tuple[str, str | None, str | None], bool] = {}
    for subject in subjects:
        spec = subject.spec
        program = spec.argv[0]
        if "{" in program:
            continue  # filled in for each run
        path = None if spec.env is None else spec.env.get("PATH", "")
        path = spec.extra_env.get("PATH", path)
        asked = program, spec.cwd, path
        if asked not in known:
            known[asked] = is_found(*asked)
        if known[asked]:
            continue
        if "/" in program:
            text, hint = f"there is no program {program!r}", "mend the path, or build it first"
        else:
            text, hint = f"there is no program {program!r} on PATH", "install it, or name it with its full path"
        yield Advice(service=spec.id, rule="missing-program", text=text, hint=hint)

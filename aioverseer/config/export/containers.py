"""Common parts of compose and Kubernetes: images, folders in them, ports, and addresses that change."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from aioverseer import Restart, Spec
from aioverseer.config.convert.conversion import Notes
from aioverseer.config.export.app import App
from aioverseer.config.export.conditions import leaves_of
from aioverseer.config.export.given import Given
from aioverseer.config.export.placeholders import uses

__all__ = [
    "HOME",
    "copies_of",
    "folder_in_image",
    "image_name",
    "judges_codes",
    "listening_ports",
    "note_addresses",
    "note_containers",
    "note_program",
    "texts_of",
    "unique_names",
]

HOME = "/app"
"""Folder of the file in the image."""
_PORT = 8000
"""Value of ``{port}`` where no range is given: each container has its ports for itself."""
_PROGRAMS = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"})
_ANY_LENGTH = 255
_LOCAL = re.compile(r"\b(?:localhost|127\.0\.0\.1)(?::(?P<port>[0-9]{1,5}))?\b|\[::1\]")
_LOOPBACKS = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104  # compared, never bound


def image_name(app: App) -> str:
    """Return the name of the image of all services."""
    return f"{re.sub(r'[^a-z0-9]+', '-', app.name.lower()).strip('-') or 'app'}:latest"


def note_containers(app: App, notes: Notes) -> None:
    """Add the notes about what is new to all programs in containers."""
    notes.changed(
        "",
        "image",
        f"build {image_name(app)} with all programs in it, and the folder of the file as {HOME}, or name an image "
        "for each service",
    )
    notes.changed("", "env", "the variables of your shell are not there")
    if any(spec.extra_env or spec.env for spec in app.specs):
        notes.changed("", "extra_env", "values stand in the file: move secrets elsewhere")


def folder_in_image(app: App, given: Given) -> str:
    """Return the working directory of a service in its container."""
    given.take("cwd")
    inside = posixpath.relpath(app.absolute(given.spec.cwd or ""), app.folder)
    if inside == ".":
        return HOME
    if inside.startswith(".."):
        given.changed("cwd", "it is outside of the folder of the file: the image must have it")
        return app.absolute(given.spec.cwd or "")
    return f"{HOME}/{inside}"


def listening_ports(spec: Spec) -> list[int]:
    """Return the TCP ports on which a service is known to listen: those of its sockets and of its readiness."""
    data = spec.to_dict()
    found = [held["tcp"] for held in data.get("listen", {}).values() if "tcp" in held]
    found += [port for probe in leaves_of(data.get("ready") or {}) if (port := _host_port(probe)) is not None]
    if spec.port is not None:
        found.append(spec.port[0])
    return list(dict.fromkeys(found))


def _host_port(probe: Mapping[str, Any]) -> int | None:
    """Return the port of this machine that a probe connects to; None for another probe."""
    if "tcp" in probe:
        port = probe["tcp"]
        return port if isinstance(port, int) and probe.get("host", "127.0.0.1") in _LOOPBACKS else None
    if "http" in probe and "{" not in probe["http"]:
        url: str = probe["http"]
        parts = urlsplit(url)
        if parts.hostname in _LOOPBACKS:
            return parts.port or (443 if parts.scheme == "https" else 80)
    return None


def note_addresses(app: App, given: Given, names: Mapping[str, str]) -> None:
    """Add a note about each address of this machine in a command or a variable: other services are elsewhere there.

    Args:
        app: The services.
        given: The options of one service.
        names: The name of each service on the network.
    """
    spec = given.spec
    owners = {port: each.id for each in app.specs if each.id != spec.id for port in listening_ports(each)}
    for option, text in texts_of(spec):
        for found in _LOCAL.finditer(text):
            owner = owners.get(int(found["port"] or 0))
            if owner is not None:
                given.changed(option, f"localhost is the container itself: {owner} is {names[owner]}:{found['port']}")


def note_program(given: Given) -> None:
    """Add a note about a program in a folder that an image does not have by itself."""
    program = given.spec.argv[0]
    if program.startswith("/") and posixpath.dirname(program) not in _PROGRAMS:
        given.changed("command", f"{program!r} is a path of this machine: name the program as it is in the image")


def judges_codes(restart: Restart) -> bool:
    """Return whether a policy tells exit codes apart, beyond 0 and all others."""
    is_usual = restart.success_codes == frozenset({0}) and not restart.success_signals
    return not is_usual or bool(restart.prevent_codes or restart.force_codes)


def texts_of(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield the texts of a Spec that may hold placeholders or addresses, each with its option."""
    for each in spec.argv:
        yield "command", each
    for name, value in {**(spec.env or {}), **spec.extra_env}.items():
        yield f"extra_env.{name}", value
    if spec.cwd is not None:
        yield "cwd", spec.cwd


def copies_of(spec: Spec) -> list[tuple[str, dict[str, str]]]:
    """Return the containers that a Spec needs: the ending of the name and the placeholders of each.

    Instances whose texts are all the same are one container, which the target repeats.
    """
    port = spec.port[0] if spec.port else _PORT
    if spec.instances is None:
        is_template = spec.port is not None or spec.listen
        return [("", {"id": spec.id, "index": "0", "run": "1", "port": str(port)} if is_template else {})]
    if not uses(text for _, text in texts_of(spec)) & {"id", "index"}:
        return [("", {"run": "1", "port": str(port)})]
    return [
        (f"-{number}", {"id": f"{spec.id}.{number}", "index": str(number), "run": "1", "port": str(port)})
        for number in range(spec.instances)
    ]


def unique_names(ids: Iterable[str], forbidden: str, notes: Notes, *, longest: int = _ANY_LENGTH) -> dict[str, str]:
    """Return a name for each service, in the alphabet of the target.

    Args:
        ids: The ids of the services.
        forbidden: A regular expression for what no name holds; it becomes a dash. A name without capitals gets small
            letters first.
        notes: Notes about names that had to change.
        longest: Characters of the longest name. With a limit a name begins with a letter.
    """
    names: dict[str, str] = {}
    for id in ids:
        usual = re.sub(forbidden, "-", id if re.match(forbidden, "A") is None else id.lower()).strip("-.") or "service"
        if longest < _ANY_LENGTH and not usual[0].isalpha():
            usual = f"service-{usual}"
        name, number = usual[:longest].rstrip("-."), 2
        while name in names.values():
            ending = f"-{number}"
            name, number = f"{usual[: longest - len(ending)]}{ending}", number + 1
        names[id] = name
        if name != id:
            notes.changed(f"services.{id}", "id", f"its name is {name}")
    return names

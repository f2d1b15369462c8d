"""Folders of a container, and those of this machine that are mounted there."""

from __future__ import annotations

from typing import Any

from aioverseer.config.convert.references import References
from aioverseer.config.convert.table_keys import TableKeys, is_list, is_table

__all__ = ["folder_of"]


def folder_of(service: TableKeys, references: References, owner: str) -> str | None:
    """Return the working directory of a service, as our text; None for the one of the file.

    Args:
        service: Keys of the service.
        references: Translation of variables.
        owner: Our name of the service.
    """
    wanted = service.get("working_dir")
    if isinstance(wanted, str) and wanted:
        found = _mounted(wanted, _mounts(service.get("volumes"), references))
        if found is None:
            service.lost("working_dir", "it is a folder of the container; write cwd = 'folder' of this machine")
        else:
            service.changed("working_dir", f"{owner}.cwd, the folder of this machine that is mounted there")
            service.changed("build", "there is no image; install the program on this machine")
            return references.translated(found)
    service.carried("working_dir", "nothing, as it is empty")
    context = _context(service.get("build"))
    if context is None or "working_dir" in service:
        service.lost("build", "there is no image; install the program on this machine")
        return None
    service.changed("build", f"its context is {owner}.cwd; install the program on this machine")
    return references.translated(context)


def _context(build: object) -> str | None:
    given = build.get("context") if is_table(build) else build
    is_folder = isinstance(given, str) and given and "://" not in given and not given.startswith("git@")
    return str(given) if is_folder else None


def _mounts(volumes: object, references: References) -> list[tuple[str, str]]:
    """Return pairs of a folder of this machine and one of the container."""
    found: list[tuple[str, str]] = []
    for each in volumes if is_list(volumes) else []:
        pair = _long(each) if is_table(each) else _short(each, references)
        if pair is not None:
            found.append(pair)
    return found


def _long(volume: dict[str, Any]) -> tuple[str, str] | None:
    source, target = volume.get("source"), volume.get("target")
    is_bind = volume.get("type") == "bind" and isinstance(source, str) and isinstance(target, str)
    return (str(source), str(target)) if is_bind else None


def _short(volume: object, references: References) -> tuple[str, str] | None:
    text = references.default(volume) if isinstance(volume, str) else ""
    source, colon, rest = text.partition(":")
    return (source, rest.partition(":")[0]) if colon and source.startswith((".", "/", "~")) else None


def _mounted(folder: str, mounts: list[tuple[str, str]]) -> str | None:
    best: tuple[int, str] | None = None
    wanted = folder.rstrip("/") or "/"
    for source, target in mounts:
        base = target.rstrip("/")
        if wanted == base or wanted.startswith(f"{base}/"):
            inside = wanted[len(base) :].strip("/")
            path = f"{source.rstrip('/') or '/'}/{inside}" if inside else source
            if best is None or len(base) > best[0]:
                best = len(base), path
    return None if best is None else best[1]

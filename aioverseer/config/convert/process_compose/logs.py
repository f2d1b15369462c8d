"""Log files of process-compose: ``log_location`` and ``log_configuration``."""

from __future__ import annotations

from typing import Any

from aioverseer.config.convert.process_compose.keys import LOGGER
from aioverseer.config.convert.table_keys import TableKeys
from aioverseer.config.convert.truth import truth
from aioverseer.config.convert.units import number

__all__ = ["log_file"]

_MEBIBYTE = 2**20


def log_file(keys: TableKeys, path: str, owner: str) -> dict[str, Any]:
    """Return a log file.

    Args:
        keys: Keys of the process or of the project.
        path: Path of the file, as our text; empty if there is none.
        owner: Our name of the option, such as ``services.web.log``.
    """
    made: dict[str, Any] = {"path": path}
    settings = keys.table("log_configuration")
    plain_text = settings is not None and truth(settings.get("disable_json")) is True
    if not plain_text:
        made["format"] = "json"
    if path:
        if plain_text:
            keys.carried("log_location", f"{owner}.path")
        else:
            keys.changed("log_location", f"{owner}; its lines of JSON have other names: time, id, stream, run and text")
    if settings is None:
        return made
    if plain_text and truth(settings.get("add_timestamp")) is True:
        made["timestamps"] = True
    rotation = settings.table("rotation")
    if rotation is not None:
        _rotation(rotation, made, owner)
    settings.carried("disable_json", f"{owner}.format")
    if plain_text:
        settings.carried("add_timestamp", f"{owner}.timestamps")
        settings.lost("no_metadata", "a line of text has no name of its service")
    else:
        settings.carried("add_timestamp", f"{owner}.format, which has the time of each line")
        settings.lost("no_metadata", "a line of JSON always has the name of its service")
    settings.lost("timestamp_format", "the time of a line is in ISO 8601")
    settings.close(LOGGER, ("rotation", "disable_json", "timestamp_format", "no_metadata", "add_timestamp"))
    return made


def _rotation(keys: TableKeys, made: dict[str, Any], owner: str) -> None:
    size, kept = _whole(keys, "max_size_mb"), _whole(keys, "max_backups")
    if size:
        made["max_bytes"] = size * _MEBIBYTE
    if kept:
        made["keep"] = min(kept, 999)
    if truth(keys.get("compress")) is True:
        made["compress"] = True
    keys.carried("max_size_mb", f"{owner}.max_bytes")
    keys.carried("max_backups", f"{owner}.keep")
    keys.carried("compress", f"{owner}.compress")
    lost = {
        "max_age_days": "files are kept by their number; write keep",
        "directory": "the path is that of log_location",
        "filename": "the path is that of log_location",
    }
    keys.close(lost, ("max_size_mb", "max_backups", "compress"))


def _whole(keys: TableKeys, key: str) -> int:
    text = keys.get(key)
    value = number(text) if isinstance(text, str) else None
    if text is not None and value is None:
        keys.lost(key, "is no number, so it is left out")
    return int(value or 0)

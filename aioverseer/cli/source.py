"""The file that a command works on: ours, a Procfile, or one of another supervisor."""

from __future__ import annotations

import os

from aioverseer.cli.arguments import FileOptions
from aioverseer.config import Config, ControlOptions, load

__all__ = ["ineffective", "read_config"]


def read_config(source: FileOptions) -> Config:
    """Return what a file says.

    Args:
        source: The file, and what the command line adds to it.

    Raises:
        ConfigError: If there is no file, or it cannot be used.
    """
    return load(source.file, profiles=source.profiles, settings=source.settings, environ=os.environ)


def ineffective(config: Config) -> str | None:
    """Return a sentence about the sections of a file that have no effect yet; None without any.

    Args:
        config: The content of the file.
    """
    if config.control == ControlOptions():
        return None
    return "control has no effect: this aioverseer has no control interface yet; leave the section out"

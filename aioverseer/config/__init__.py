"""Descriptions of services in files, read into public ``Spec`` values.

Each format has a module of its own in here. They are pure: the caller opens the file and hands the environment in;
nothing is started, and nothing in here prints.
"""

from __future__ import annotations

from aioverseer.config.procfile import read_procfile

__all__ = ["read_procfile"]

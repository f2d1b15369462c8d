"""Descriptions of services in files, read into public ``Spec`` values.

Each format has a module of its own. The modules are pure: the caller reads the file and passes its text and the
environment.
"""

from __future__ import annotations

from aioverseer.config.problems import ConfigError, Problem
from aioverseer.config.procfile import read_procfile

__all__ = ["ConfigError", "Problem", "read_procfile"]

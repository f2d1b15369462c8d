"""Whether ``sys.executable`` runs Python programs. In a frozen application or under uWSGI, it is that application."""

from __future__ import annotations

import os
import sys

__all__ = ["missing_interpreter"]


def missing_interpreter() -> str | None:
    """Return why ``sys.executable`` cannot run a program in Python; None when it can.

    Only the names are looked at. To try it would run the application a second time.
    """
    if not sys.executable:
        return "sys.executable is empty"
    if getattr(sys, "frozen", False):
        return f"sys.executable is the frozen application {sys.executable!r}"
    # Interpreters are called python3.13, pypy3 or mayapy; links to them may have any name.
    if not any("py" in os.path.basename(path).lower() for path in (sys.executable, os.path.realpath(sys.executable))):
        return f"sys.executable is {sys.executable!r}, which does not look like one"
    return None

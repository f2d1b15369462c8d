"""Values that name a service of compose as a host, which is this machine here."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["hosts_in"]

_OF_HOSTS = re.compile(r"(?i)HOST|ADDR|SERVER|URL|URI|BROKER|ENDPOINT|DSN")
"""Names of variables whose whole value may be the name of a host."""


def hosts_in(variable: str, value: str, services: Iterable[str]) -> list[str]:
    """Return the services that a variable names as a host.

    Args:
        variable: Name of the variable.
        value: Its value.
        services: Names of all services.
    """
    return [name for name in services if _names(variable, value, name)]


def _names(variable: str, value: str, service: str) -> bool:
    if value == service:
        return _OF_HOSTS.search(variable) is not None
    name = re.escape(service)
    # A host stands after // or @, before a port, or after "host=".
    return re.search(rf"(//|@){name}(?=[:/?,\s]|$)|(^|[,=\s]){name}:\d|\bhost={name}(?=\s|$)", value) is not None

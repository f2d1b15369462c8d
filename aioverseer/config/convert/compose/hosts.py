"""Values that name a service of compose as a host, which is this machine here."""

from __future__ import annotations

import re
from collections.abc import Container

__all__ = ["hosts_in"]

_OF_HOSTS = re.compile(r"(?i)HOST|ADDR|SERVER|URL|URI|BROKER|ENDPOINT|DSN")
"""Names of variables whose whole value may be the name of a host."""
# A host stands after // and a user, after @, before a port, or after "host=". No part is matched twice (++), so a long
# value takes linear time.
_HOST = re.compile(
    r"(?://(?:[^/@\s]*+@)?|@)([\w.-]++)(?=[:/?,\s]|$)|(?:^|[,=\s])([\w.-]++):\d|\bhost=([\w.-]++)(?=\s|$)"
)


def hosts_in(variable: str, value: str, services: Container[str]) -> list[str]:
    """Return the services that a variable names as a host.

    Args:
        variable: Name of the variable.
        value: Its value.
        services: Names of all services.
    """
    found = [next(filter(None, each.groups())) for each in _HOST.finditer(value)]
    if _OF_HOSTS.search(variable):
        found.append(value)
    return [name for name in dict.fromkeys(found) if name in services]

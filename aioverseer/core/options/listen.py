"""Kinds of listening sockets that an overseer holds, as values."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from aioverseer.core.options.composition import Probe
from aioverseer.core.options.held_socket import HeldSocket
from aioverseer.core.options.probes import Tcp, Unix, address_of

__all__ = ["InheritedSocket", "TcpSocket", "UnixSocket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSocket(HeldSocket):
    """A socket that listens on a TCP port of this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the socket as words of a sentence."""
        return f"tcp {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def is_reached_by(self, probe: Probe) -> bool:
        """Return whether a probe connects to this socket; see ``HeldSocket``."""
        if (found := address_of(probe)) is None or found[1] != self.port:
            return False
        mine = ipaddress.ip_address(self.host)
        host = "127.0.0.1" if found[0] == "localhost" else found[0]
        try:
            theirs = ipaddress.ip_address(host)
        except ValueError:  # a name, which only a resolver could tell
            return False
        return mine == theirs or (mine.is_unspecified and theirs.is_loopback) or theirs.is_unspecified

    def takes_connections_for(self, probe: Probe) -> bool:
        """Return whether a connection alone fulfils a probe; see ``HeldSocket``."""
        return isinstance(probe, Tcp) and self.is_reached_by(probe)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixSocket(HeldSocket):
    """A UNIX socket that listens."""

    path: str
    mode: int | None = None

    def __str__(self) -> str:
        """Return the socket as words of a sentence."""
        return f"unix {self.path}"

    def is_reached_by(self, probe: Probe) -> bool:
        """Return whether a probe connects to this socket; see ``HeldSocket``."""
        return isinstance(probe, Unix) and probe.path == self.path

    def below(self, folder: str | None) -> HeldSocket:
        """Return the same socket with its path below a folder, if it is relative; see ``HeldSocket``."""
        if folder is None or self.path.startswith(("/", "@")):
            return self
        return UnixSocket(path=f"{folder.rstrip('/')}/{self.path}", mode=self.mode)

    def takes_connections_for(self, probe: Probe) -> bool:
        """Return whether a connection alone fulfils a probe; see ``HeldSocket``."""
        return self.is_reached_by(probe)


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedSocket(HeldSocket):
    """A socket that systemd has passed to the host."""

    name: str

    def __str__(self) -> str:
        """Return the socket as words of a sentence."""
        return f"inherited {self.name}"

    def is_reached_by(self, probe: Probe) -> bool:
        """Return False: only the host knows the address."""
        del probe
        return False

    def takes_connections_for(self, probe: Probe) -> bool:
        """Return False: only the host knows the address."""
        del probe
        return False

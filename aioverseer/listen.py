"""Listening sockets that the overseer holds: ``listen={"http": listen.tcp(8000)}``.

The socket is bound before the first start and stays open while the program restarts, so connections wait and none is
refused. The program gets it as descriptor 3, the next ones as 4, 5 and so on, in the order of the dict, with the
variables of sd_listen_fds(3): ``LISTEN_FDS``, ``LISTEN_PID`` and ``LISTEN_FDNAMES``. A socket is a value: the functions
here check their arguments, and the overseer binds. Services that name the same socket share it.
"""

from __future__ import annotations

from aioverseer.core.options.held_socket import HeldSocket
from aioverseer.core.options.listen_makers import inherited, tcp, unix

__all__ = ["HeldSocket", "inherited", "tcp", "unix"]

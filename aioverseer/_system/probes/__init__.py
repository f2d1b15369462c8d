"""Attempts of probes, and the socket and the pipe on which a program reports that it is ready.

The folder imports ``_system.protocols``, ``_aio`` and ``core``.
"""

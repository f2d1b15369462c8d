"""Readiness and liveness of one run.

The folder imports ``_system``, ``_aio`` and ``core``.
"""

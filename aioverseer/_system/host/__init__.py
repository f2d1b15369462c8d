"""The host process itself: environment, program lookup, descriptor limit, signals, file locks.

The folder imports ``core`` alone.
"""

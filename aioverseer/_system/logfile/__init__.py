"""The thread that writes logs: files, their rotation and compression, and loggers.

The folder imports ``core`` alone.
"""

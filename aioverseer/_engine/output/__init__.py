"""From a pipe to the readers of its lines: queues, subscriptions, the tail and the logs.

The folder imports ``_system``, ``_aio`` and ``core``. It knows no states, and starts no tasks.
"""

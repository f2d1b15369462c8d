"""Find and kill what a program leaves behind.

The folder imports ``_system.host``, ``_aio`` and ``core``. ``core/options/containment.py`` decides which level is in
force.
"""

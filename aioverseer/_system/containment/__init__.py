"""What keeps the promise that nothing is left behind: the marker and its sweep, the guardian, cgroups.

The launcher uses these; what level is in force is decided in ``core/options/containment.py``. Nothing in here may import the
launcher or know of services.
"""

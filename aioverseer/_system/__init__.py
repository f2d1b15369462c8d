"""The only package that spawns, signals, reaps and opens descriptors. It decides nothing.

It imports ``core`` and ``_aio``. It knows neither services nor policies.
"""

"""Decisions: values in, values out. Nothing here waits, reads a clock or imports asyncio.

Time and random numbers are passed in. No module of this package may import os, time, random, logging, subprocess,
socket or anyio. Layers, from the top: machine and report; text; options; errors, state, clock and typing.
"""

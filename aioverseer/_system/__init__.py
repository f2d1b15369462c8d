"""The operating system: the only package that spawns, signals, reaps, and opens pipes and files for children.

What is decided, is decided elsewhere; in here it is done. Nothing in here knows of services or policies.
"""

"""Performs what the core decides, on one event loop."""

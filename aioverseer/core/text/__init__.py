"""Bytes and text in, values out: lines, log entries, notifications, files of the kernel."""

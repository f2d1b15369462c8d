"""The thread that writes log files."""

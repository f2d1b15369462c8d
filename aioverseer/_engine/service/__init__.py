"""One program, run again and again."""

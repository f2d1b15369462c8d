"""One attempt of each probe."""

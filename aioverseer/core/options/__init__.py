"""The options that a user sets. Frozen; a value that exists is valid."""

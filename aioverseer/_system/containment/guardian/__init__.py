"""The guardian: a process that kills a host's programs when the host dies."""

"""The guardian: a process that kills what is left when the host dies."""

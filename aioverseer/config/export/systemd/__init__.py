"""Units of systemd: one for each program, or one that runs ``aioverseer up``."""

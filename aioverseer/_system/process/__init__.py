"""Start one program, watch it, signal it."""

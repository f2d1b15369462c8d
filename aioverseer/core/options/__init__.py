"""What the user asks for. Frozen; a value that exists is valid."""

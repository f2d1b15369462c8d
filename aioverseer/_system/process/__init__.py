"""The launch of real programs, and what is known of them until they are gone. Nothing in here decides."""

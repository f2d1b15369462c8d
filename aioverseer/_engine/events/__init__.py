"""Events: the journal, its publisher, and the recorder that writes events to a file."""

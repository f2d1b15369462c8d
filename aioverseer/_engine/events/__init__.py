"""Events: the journal, its publisher, and the recorder that writes them to a file."""

"""Books: the native feed engine, and the proof that a book equals the venue's."""

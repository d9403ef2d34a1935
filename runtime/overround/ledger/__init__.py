"""What was meant, done and owned: the journal, and the positions that follow from it."""

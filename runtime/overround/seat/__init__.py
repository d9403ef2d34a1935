"""A process on the machine: takes its place, says what it got, collects its garbage itself."""

"""The command line: one file a verb, errors in one line, ``--json`` everywhere."""

"""The host's knobs: one TOML file each in ``knobs``, read by ``overround tune`` and ``doctor``.

A knob says which files it writes, why that may help, and the value for each profile; a profile
that is not named leaves the machine as it is. Nothing here runs.
"""

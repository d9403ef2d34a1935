"""Changes to the host that are saved before they are made, and undone exactly.

``knob`` reads the table, ``plan`` compares it with the machine, ``diary`` remembers what was
there, ``apply`` turns the knobs and turns them back.
"""

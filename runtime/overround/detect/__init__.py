"""Detect: from ring records to signals. Never knows a venue, never acts.

``relations`` compiles the catalog, ``columns`` holds the private copy, ``kernels`` scan it,
``legs`` reads the slots of a hit, ``scanner`` ties them together, ``process`` runs it.
"""

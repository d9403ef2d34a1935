"""Records of the shared regions as numpy dtypes, one file a region.

Mirrors ``native/include/overround/layout.inc``; a test compares every offset. All fields are
little endian and naturally aligned without implicit padding. ``sequence`` belongs to the region:
writers leave it alone, readers find it filled.
"""

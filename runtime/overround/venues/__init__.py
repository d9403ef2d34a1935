"""What we know of each venue: its signing, its texts, its numbers. No venue opens a socket.

One folder a venue, plain data in integer units in ``contract``, the table of them in
``registry``.
"""

"""A XAPI pool in a box, served over the real wire; it imports nothing else of lmflow.

The kernel (schema, store, tasks, sessions, events, wire) knows no operation of a pool; operations register
themselves in ``registry`` and long-lived parts (toolstack, xenops) are built from the kernel.
"""

"""Composition only: which steps, in which order. No I/O, no configuration, no clock."""

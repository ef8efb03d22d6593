"""A flow, its persistence and a live session make a running engine; here are the rules for start and resume."""

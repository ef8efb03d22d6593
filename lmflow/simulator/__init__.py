"""A XAPI pool in a box, served over the real wire; it imports nothing else of lmflow.

Rooms, from the bottom: ``database`` (the data model and its objects), ``wire`` (bytes to calls and back), ``rules``
(what XAPI allows), ``hosts`` (toolstacks, domains, power, the witness), ``migrations``, ``worlds`` (pools described,
generated, loaded), ``operations`` (what calls do, a small module a class). Between them stands what all share: the
kernel, which puts tasks, sessions, events and the store together and knows no operation, and ``registry``, where
operations, long-lived parts and control routes announce themselves. ``pool`` is the whole.
"""

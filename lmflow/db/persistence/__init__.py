"""TaskFlow's persistence at the price of the disk: for lmflow's runs, and as a plug-in for anybody's flows.

A task body begins only after everything that must be known after a crash is on disk; results wait for that moment.
"""

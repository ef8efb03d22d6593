"""The command line: parses text, prints results; everything else is behind ``lmflow.api``.

Command modules import nothing heavy at module level: all of them are loaded for ``lmflow --help``.
"""

"""Numbers as XAPI reads them from text: the spellings of its language."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"-?[0-9]{1,18}\Z")
_INT64 = re.compile(r"([-+]?)(?:0u([0-9][0-9_]*)|(0[xXoObB])?([0-9a-fA-F][0-9a-fA-F_]*))\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9][0-9_]*)?|nan|inf(?:inity)?)\Z", re.IGNORECASE)
_BASES = {"0x": 16, "0o": 8, "0b": 2}


def parse_int64(text: str) -> int:
    """Read a 64-bit integer: ``-5``, ``1_000``, ``0x1f``, ``0o17``, ``0b1``. ValueError for all else."""
    if _PLAIN.match(text):
        return int(text)
    found = _INT64.match(text)
    if found is None or not text.isascii():
        raise ValueError("Int64.of_string")
    sign, unsigned, prefix, digits = found.groups()
    try:
        value = int((unsigned or digits).replace("_", ""), _BASES.get((prefix or "").lower(), 10))
    except ValueError:
        raise ValueError("Int64.of_string") from None
    # Hexadecimal, octal, binary and 0u numbers are read modulo 2**64, as OCaml does.
    limit = 2**64 if prefix or unsigned else 2**63
    if value >= limit and not (sign == "-" and value == limit and not (prefix or unsigned)):
        raise ValueError("Int64.of_string")
    if value >= 2**63 and (prefix or unsigned):
        value -= 2**64
    return -value if sign == "-" else value


def parse_float(text: str) -> float:
    """Read a decimal number, ``nan`` or ``infinity``. ValueError for all else."""
    if not text.isascii() or not _FLOAT.match(text):
        raise ValueError("float_of_string")
    return float(text.replace("_", ""))

"""The door gives what it names, and loads nothing before it is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lmflow import api

HEAVY = (
    "taskflow",
    "sqlalchemy",
    "XenAPI",
    "oslo_config",
    "lmflow.conf",
    "lmflow.runner",
    "lmflow.db",
    "lmflow.models",
)


def test_every_name_leads_to_what_is_called_so() -> None:
    assert list(api.__all__) == sorted(api.__all__)
    assert {getattr(api, name).__name__ for name in api.__all__} == set(api.__all__)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="Database"):
        _ = api.Database


def test_nothing_heavy_is_loaded_before_it_is_asked_for() -> None:
    code = f"import sys, lmflow.api; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""The documentation can be built, without a network and without a warning, and leaves no page and no schema out."""

import pathlib
import subprocess
import sys

import pytest

from lmflow import api


@pytest.mark.timeout(300)
def test_the_pages_are_built_without_a_warning(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-E", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [*command, str(root / "doc" / "source"), str(tmp_path / "html")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    assert not [name for name in api.__all__ if f'id="lmflow.api.{name}"' not in reference], "add it to api.md"
    assert '<img alt="move' in (tmp_path / "html" / "how-it-works.html").read_text(encoding="utf-8")


def test_each_schema_is_shown(root: pathlib.Path) -> None:
    page = (root / "doc" / "source" / "schemas.md").read_text(encoding="utf-8")
    schemas = sorted(p.name for p in (root / "doc" / "source" / "schemas").glob("*.json"))
    assert schemas
    assert not [name for name in schemas if f"```{{literalinclude}} schemas/{name}\n" not in page]


def test_people_get_the_same_pages(root: pathlib.Path) -> None:
    told = (root / "tox.ini").read_text(encoding="utf-8").partition("[testenv:docs]")[2].partition("[testenv")[0]
    assert "sphinx -W --keep-going -n" in told

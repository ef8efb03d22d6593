"""``lmflow graph``: what it can draw, and where it cannot write."""

import os
import pathlib
import subprocess
import sys

import pytest

from lmflow import visualize
from lmflow.cli.graph import FORMATS

GRAPH = (sys.executable, "-m", "lmflow", "graph")


def test_the_formats_are_the_renderers() -> None:
    assert set(FORMATS) == set(visualize.RENDERERS)


@pytest.mark.parametrize("how", FORMATS)
def test_each_format_is_drawn(how: str) -> None:
    done = subprocess.run([*GRAPH, "settle", "-f", how], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "verify_on_destination" in done.stdout


def test_help_needs_no_engine() -> None:
    program = (
        "import contextlib, sys\nfrom lmflow.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n    main(['graph', '--help'])\n"
        "sys.exit(', '.join({'taskflow', 'sqlalchemy', 'lmflow.visualize'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "svg" in done.stdout


def test_a_picture_that_cannot_be_written_is_one_line_and_exit_1(tmp_path: pathlib.Path) -> None:
    surroundings = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    with pathlib.Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*GRAPH, "-f", "svg"], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=surroundings
        )
    assert done.returncode == 1
    assert done.stderr == "lmflow: the picture could not be written: No space left on device\n"
    assert not list(tmp_path.iterdir()), "no report of a defect"


def test_a_reader_that_has_gone_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run([*GRAPH, "-f", "svg"], stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_where_only_ascii_can_be_written_only_ascii_is() -> None:
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for how in ("svg", "dot", "json", "text"):
        done = subprocess.run([*GRAPH, "-f", how], capture_output=True, check=False, env=surroundings)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()

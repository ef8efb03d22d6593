"""The README shows nothing that was not run: its commands are run here, its pictures are drawn again and compared."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lmflow import conf

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.executable).parent
SET_UPS = {
    "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/lmflow demo",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest",
}
FENCE = re.compile(r"(?:<!-- picture: (?P<picture>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
EXIT = re.compile(r"\s+# exit (\d+)\b.*$")


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of a console block, the exit code the page promises, and the lines it shows (… for anything)."""

    command: str
    code: int
    shown: tuple[str, ...]


def _blocks(language: str) -> list[re.Match[str]]:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    return [m for m in FENCE.finditer(page) if m["language"] == language]


def _steps() -> Iterator[Step]:
    for block in _blocks("console"):
        for part in re.split(r"^\$ ", block["body"], flags=re.M)[1:]:
            first, *shown = part.rstrip("\n").split("\n")
            promised = EXIT.search(first)
            yield Step(EXIT.sub("", first), int(promised[1]) if promised else 0, tuple(s for s in shown if s.strip()))


@pytest.fixture
def home(tmp_path: pathlib.Path) -> Iterator[dict[str, str]]:
    """An environment in which nothing is configured; its demo pool, if one was started, is ended."""
    names = ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LMFLOW_", "XDG_"))}
    environment = kept | dict.fromkeys(names, str(tmp_path)) | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    yield environment
    _run("lmflow demo --stop", environment)


def _run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        env=environment,
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def _shows(output: str, shown: tuple[str, ...]) -> bool:
    lines = iter(output.splitlines())
    patterns = (".*".join(re.escape(piece) for piece in line.strip().split("…")) for line in shown)
    return all(any(re.search(pattern, line) for line in lines) for pattern in patterns)


@pytest.mark.timeout(600)
def test_every_command_does_what_the_page_says(home: dict[str, str]) -> None:
    steps = list(_steps())
    assert len(steps) > 5
    for step in steps:
        assert step.command.startswith("lmflow "), step.command
        done = _run(step.command, home)
        said = done.stderr + done.stdout  # chatter first, the answer last
        assert done.returncode == step.code, f"{step.command}: exit {done.returncode}\n{said}"
        assert _shows(said, step.shown), f"{step.command} did not show {step.shown}\n{said}"


def test_only_the_two_set_ups_are_not_run_here() -> None:
    lines = [line for block in _blocks("bash") for line in block["body"].splitlines()]
    assert sorted(lines) == sorted(SET_UPS)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {m["language"] for m in FENCE.finditer(page)} == {"bash", "console", "ini", "mermaid", "text"}
    assert page.count("```") == 2 * len(FENCE.findall(page)), "an odd fence hides commands"


@pytest.mark.parametrize("language", ["text", "mermaid"])
def test_pictures_are_what_the_command_draws(language: str, home: dict[str, str]) -> None:
    blocks = _blocks(language)
    assert [b["picture"] for b in blocks if b["picture"]]
    for block in blocks:
        done = _run(block["picture"], home)
        assert done.returncode == 0, done.stderr
        assert block["body"] == done.stdout, f"put the output of `{block['picture']}` into README.md"


def test_the_example_of_a_profile_can_be_loaded(tmp_path: pathlib.Path) -> None:
    (block,) = _blocks("ini")
    example = tmp_path / "lmflow.conf"
    example.write_text(block["body"], encoding="utf-8")
    (tmp_path / "office-ca.pem").touch()
    (tmp_path / "office.password").write_text("secret\n", encoding="utf-8")
    (tmp_path / "office.password").chmod(0o600)
    settings = conf.load((str(example),), {"HOME": str(tmp_path)})
    profile = settings.pools[settings.default_pool]
    assert profile.name == "office"
    assert profile.addresses == ("xcp-a.example.org", "xcp-b.example.org")
    assert (profile.scheme, profile.port, profile.tls.insecure) == ("https", 443, False)
    assert settings.password("office") == "secret"


def test_the_reader_of_the_page_is_not_blind() -> None:
    assert _shows("one\ntwo 17 s\nthree", ("one", "two … s"))
    assert not _shows("two 17 s\none", ("one", "two … s"))

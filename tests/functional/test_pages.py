"""The pages show nothing that was not run: their commands are run here, their pictures drawn again and compared."""

import pathlib
import re
from collections.abc import Iterator

import pytest

from lmflow import conf
from tests.support.pages import (
    ROOT,
    Block,
    Reader,
    list_blocks,
    list_pages,
    read_page,
    shows,
    write_configuration,
)

# What a page cannot run is what sets up the machine that runs it; .ci/run does the second half.
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/lmflow demo"
TEST = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest"
LANGUAGES = {"", "console", "text", "ini", "python", "json", "mermaid"}
PAGES = list_pages()
RUN = [page for page in PAGES if list_blocks(page, "console")]
DRAWN = [block for page in PAGES for block in list_blocks(page) if block.find_note("picture")]
CONFIGURATIONS = [block for page in PAGES for block in list_blocks(page, "ini")]


@pytest.fixture
def reader(tmp_path: pathlib.Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.leave()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUN)
def test_every_command_does_what_the_page_says(page: str, reader: Reader) -> None:
    for block in list_blocks(page):
        reader.obey(block)
        for step in block.steps() if block.language == "console" else ():
            done = reader.run(step.command)
            said = done.stderr + done.stdout  # chatter first, the answer last
            where = f"{page}:{block.line}: {step.command}"
            assert done.returncode == step.code, f"{where}: exit {done.returncode}\n{said}"
            assert shows(said, step.shown), f"{where} did not show {step.shown}\n{said}"


@pytest.mark.parametrize("page", PAGES)
def test_no_command_stands_where_none_is_run(page: str) -> None:
    blocks = list_blocks(page)
    assert 2 * len(blocks) == len(re.findall("^ *```", read_page(page), re.M)), "an odd fence hides commands"
    for block in blocks:
        where = f"{page}:{block.line}"
        if block.language == "console":
            assert all("lmflow " in step.command for step in block.steps()), where
            assert block.body.startswith("$ "), where
        elif not block.language.startswith("{") and (page, block.language) != ("README.md", "bash"):
            assert block.language in LANGUAGES, where
            assert not re.search(r"^(\$|lmflow) ", block.body, re.M), f"{where} looks like a command"


def test_only_what_sets_up_the_machine_is_not_run_here() -> None:
    lines = [line for block in list_blocks("README.md", "bash") for line in block.body.splitlines()]
    (packages,) = (line for line in lines if line.startswith("apt-get install "))
    assert sorted(lines) == sorted([INSTALL, TEST, packages])
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    named = {word for word in packages.split()[2:] if not word.startswith("-")}
    assert TEST in ci.splitlines(), "the README and .ci/run are to say the same"
    assert named <= set(re.findall(r"[\w-]+", ci)), "the README and .ci/run are to name the same packages"


@pytest.mark.parametrize("block", DRAWN, ids=lambda block: f"{block.page}:{block.line}")
def test_a_picture_is_what_the_command_draws(block: Block, reader: Reader) -> None:
    command = block.find_note("picture")
    done = reader.run(command)
    assert done.returncode == 0, done.stderr
    assert block.body == done.stdout, f"put the output of `{command}` into {block.page}"


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_configuration_can_be_loaded(block: Block, tmp_path: pathlib.Path) -> None:
    example = tmp_path / "lmflow.conf"
    write_configuration(example, block.body)
    variables = dict.fromkeys(re.findall(r"^password_env = (\S+)$", block.body, re.M), "secret")
    settings = conf.load((str(example),), {"HOME": str(tmp_path), **variables})
    assert settings.pools or "[pool:" not in block.body
    for profile in settings.pools.values():
        assert (profile.scheme, profile.tls.insecure) == ("https", False)
        assert settings.password(profile.name) == "secret"


def test_the_reader_of_the_pages_is_not_blind() -> None:
    assert len(RUN) >= 4
    assert {block.language for block in DRAWN} == {"text", "mermaid"}
    assert CONFIGURATIONS
    assert shows("one\ntwo 17 s\nthree", ("one", "two … s"))
    assert not shows("two 17 s\none", ("one", "two … s"))

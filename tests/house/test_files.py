"""What is committed: data says where it comes from, nothing names the place where it was written."""

import configparser
import fnmatch
import gzip
import pathlib

DATA = {".json", ".xml", ".gz", ".yaml", ".yml", ".jsonl"}
XAPI_COMMIT = "e2ee48d688"
# Put together here so that this file does not hold them.
UNSPEAKABLE = tuple("".join(parts) for parts in (("/wo", "rk/"), ("../", "shared"), (".lib", "rary"), ("far", "m-")))


def _text(path: pathlib.Path) -> str:
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    return raw.decode("utf-8", errors="replace")


def _found(text: str) -> list[str]:
    return [w for w in UNSPEAKABLE if w in text]


def test_nothing_names_the_place_it_was_written_at(root: pathlib.Path, committed: list[str]) -> None:
    named = {p: _found(_text(root / p)) for p in committed}
    assert not {p: words for p, words in named.items() if words}


def test_the_search_for_places_sees_each_of_them() -> None:
    assert [_found(f"see {word}x") for word in UNSPEAKABLE] == [[word] for word in UNSPEAKABLE]
    assert not _found("a network, a farm, a library, shared storage")


def test_data_says_where_it_comes_from(committed: list[str]) -> None:
    data = (pathlib.PurePosixPath(p) for p in committed if p.startswith(("lmflow/", "tests/")))
    folders = {p.parent for p in data if p.suffix in DATA}
    assert not [str(f) for f in sorted(folders) if str(f / "ORIGIN") not in committed]


def test_an_origin_names_commit_and_licence_or_says_it_is_ours(root: pathlib.Path, committed: list[str]) -> None:
    origins = [p for p in committed if pathlib.PurePosixPath(p).name == "ORIGIN"]
    texts = {p: _text(root / p) for p in origins}
    foreign = [p for p, t in texts.items() if not (XAPI_COMMIT in t and "LGPL-2.1" in t)]
    assert not [p for p in foreign if "our own" not in texts[p]]


def test_no_file_is_left_behind_by_an_editor_or_a_merge(committed: list[str]) -> None:
    assert not [p for p in committed if p.endswith((".orig", ".rej", ".swp", "~", ".bak", ".pyc", ".db"))]


def test_everything_in_the_package_is_installed_with_it(root: pathlib.Path, committed: list[str]) -> None:
    setup = configparser.ConfigParser()
    setup.read_string((root / "setup.cfg").read_text(encoding="utf-8"))
    patterns = setup["options.package_data"]["*"].split()
    files = [pathlib.PurePosixPath(p) for p in committed if p.startswith("lmflow/")]
    packages = {f.parent for f in files if f.name == "__init__.py"}
    assert not [str(f) for f in files if f.parent not in packages], "a folder without __init__.py is not installed"
    assert not [str(f) for f in files if f.suffix != ".py" and not any(fnmatch.fnmatch(f.name, p) for p in patterns)]

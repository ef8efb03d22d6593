"""Whatever is found below the plugin's root, it touches regular files there and nothing else."""

import base64
import os
import pathlib
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.support.guest_file_cases import PART, digest

Refuse = Callable[..., str]
SECRET = "root:secret"

CALLS = {
    "stat": {},
    "read": {"offset": "0", "length": "9"},
    "write": {"part": PART, "offset": "0", "data": base64.b64encode(b"x").decode()},
    "finish": {"part": PART, "size": "11", "sha256": digest(SECRET)},
    "remove": {"sha256": digest(SECRET)},
}


@pytest.fixture
def outside(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory that is none of the plugin's business, with a file in it."""
    made = tmp_path / "etc"
    made.mkdir()
    (made / "shadow").write_text(SECRET)
    return made


def assert_untouched(outside: pathlib.Path) -> None:
    assert {p.name: p.read_text() for p in outside.iterdir()} == {"shadow": SECRET}


@pytest.mark.parametrize("function", CALLS)
def test_a_link_to_a_file_is_no_file(function: str, root: pathlib.Path, outside: pathlib.Path, refuse: Refuse) -> None:
    (root / "k").symlink_to(outside / "shadow")
    (root / f".k.{PART}.lmflow-part").write_text(SECRET)
    assert refuse(function, path=f"{root}/k", **CALLS[function])
    assert (root / "k").is_symlink()
    assert_untouched(outside)


@pytest.mark.parametrize("function", [*CALLS, "discard"])
def test_a_link_to_a_directory_leads_nowhere(
    function: str, root: pathlib.Path, outside: pathlib.Path, refuse: Refuse
) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "linux").symlink_to(outside)
    for path in (f"{root}/sub/linux/shadow", f"{root}/sub/linux/new"):
        assert "is no directory" in refuse(function, path=path, **{"part": PART, **CALLS.get(function, {})})
    assert_untouched(outside)


def test_nor_does_a_link_in_place_of_the_root(
    root: pathlib.Path, outside: pathlib.Path, refuse: Refuse, plugin: ModuleType
) -> None:
    plugin.ROOT = str(root / "guest")  # type: ignore[attr-defined]
    (root / "guest").symlink_to(outside)
    assert "is no directory" in refuse("stat", path=f"{root}/guest/shadow")


@pytest.mark.parametrize("function", ["write", "finish", "discard"])
def test_a_link_in_place_of_the_partial_is_not_followed(
    function: str, root: pathlib.Path, outside: pathlib.Path, refuse: Refuse
) -> None:
    partial = root / f".k.{PART}.lmflow-part"
    partial.symlink_to(outside / "shadow")
    assert "is no regular file" in refuse(function, path=f"{root}/k", **{"part": PART, **CALLS.get(function, {})})
    assert partial.is_symlink()
    assert not (root / "k").exists()
    assert_untouched(outside)


def _make_pipe(path: pathlib.Path) -> None:
    os.mkfifo(path)


def _make_socket(path: pathlib.Path) -> None:
    os.mknod(path, 0o140600)


def _make_directory(path: pathlib.Path) -> None:
    path.mkdir()


def _make_dead_link(path: pathlib.Path) -> None:
    path.symlink_to(path.parent / "nothing")


KINDS = [_make_pipe, _make_socket, _make_directory, _make_dead_link]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__.removeprefix("_make_"))
@pytest.mark.parametrize("function", ["stat", "read", "write", "finish", "remove"])
def test_what_is_no_regular_file_is_refused_and_stays(
    function: str, make: Callable[[pathlib.Path], None], root: pathlib.Path, refuse: Refuse
) -> None:
    make(root / "k")
    (root / f".k.{PART}.lmflow-part").write_text(SECRET)
    kind = (root / "k").lstat().st_mode
    assert refuse(function, path=f"{root}/k", **CALLS[function])
    assert (root / "k").lstat().st_mode == kind


def test_a_device_is_refused_before_it_is_opened(root: pathlib.Path, refuse: Refuse, plugin: ModuleType) -> None:
    plugin.ROOT = "/dev"  # type: ignore[attr-defined]
    assert refuse("stat", path="/dev/null") == "/dev/null is no regular file"
    assert refuse("read", path="/dev/zero", offset="0", length="9") == "/dev/zero is no regular file"


def test_a_file_that_takes_the_path_meanwhile_is_not_replaced(
    root: pathlib.Path, plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, refuse: Refuse
) -> None:
    plugin.write(None, {"path": f"{root}/k", **CALLS["write"]})

    def appear(descriptor: int) -> None:
        (root / "k").write_text("somebody's")

    monkeypatch.setattr(plugin.os, "fsync", appear)
    said = refuse("finish", path=f"{root}/k", part=PART, size="1", sha256=digest("x"))
    assert "never replaced" in said
    assert (root / "k").read_text() == "somebody's"


def test_the_last_of_the_disk_is_not_taken(root: pathlib.Path, plugin: ModuleType, refuse: Refuse) -> None:
    plugin.RESERVE_BYTES = 1 << 60  # type: ignore[attr-defined]
    assert "would be free on the disk" in refuse("write", path=f"{root}/k", **CALLS["write"])
    assert list(root.iterdir()) == []


def test_a_large_file_is_carried_in_pieces(root: pathlib.Path, plugin: ModuleType) -> None:
    content = os.urandom(2 * plugin.PIECE_BYTES + 17)
    (root / "k").write_bytes(content)
    for offset in range(0, len(content), plugin.PIECE_BYTES):
        place = {"offset": str(offset), "length": str(plugin.PIECE_BYTES)}
        data = plugin.read(None, {"path": f"{root}/k", **place})
        plugin.write(None, {"path": f"{root}/copy", "part": PART, "offset": str(offset), "data": data})
    (partial,) = root.glob(".copy.*")
    assert partial.read_bytes() == content

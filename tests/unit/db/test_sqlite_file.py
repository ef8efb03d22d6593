"""Where an SQLite database may lie."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmflow.db.sqlite_file import check_place, ensure_file, find_filesystem
from lmflow.exceptions import ConfigurationError

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:40 / /home rw shared:3 - nfs4 filer:/home rw,vers=4.2
31 30 0:41 / /home/me/my\040disk rw - xfs /dev/sdb1 rw
32 22 0:42 / /sim rw master:7 - fuse.sshfs me@there:/ rw
33 22 0:43 / /virtual rw - 9p share rw,trans=virtio
34 22 0:44 / /far rw - 9p share rw,trans=tcp,port=564
35 22 0:45 / /over rw - cifs //nas/share rw
36 35 0:46 / /over rw - tmpfs tmpfs rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/lmflow", "ext4"),
        ("/home/me/.local", "nfs4"),
        ("/home/me/my disk/state", "xfs"),
        ("/homework", "ext4"),
        ("/over/x", "tmpfs"),
    ],
)
def test_the_mount_that_holds_a_path_is_found(path: str, kind: str) -> None:
    assert find_filesystem(Path(path), MOUNTS)[0] == kind


def _mountinfo(tmp_path: Path, kind: str, options: str = "rw") -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda1 rw\n23 22 0:50 / {tmp_path} rw - {kind} there:/ {options}\n")
    return file


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "ceph", "fuse.sshfs", "fuse.glusterfs", "glusterfs"])
def test_a_network_file_system_is_refused_before_anything_is_created(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_place(tmp_path / "state" / "lmflow.db", _mountinfo(tmp_path, kind))
    assert kind in refused.value.message
    assert "PostgreSQL" in refused.value.advice
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("kind", "options"), [("ext4", "rw"), ("btrfs", "rw"), ("9p", "rw,trans=virtio"), ("zfs", "rw")]
)
def test_a_local_file_system_will_do(tmp_path: Path, kind: str, options: str) -> None:
    check_place(tmp_path / "lmflow.db", _mountinfo(tmp_path, kind, options))


def test_9p_over_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        check_place(tmp_path / "lmflow.db", _mountinfo(tmp_path, "9p", "rw,trans=tcp"))


def test_a_link_to_a_network_file_system_is_refused(tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(far)
    with pytest.raises(ConfigurationError):
        check_place(link / "lmflow.db", _mountinfo(tmp_path, "nfs4"))


def test_without_a_mount_table_nothing_is_held_against_a_place(tmp_path: Path) -> None:
    check_place(tmp_path / "lmflow.db", tmp_path / "missing")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a directory"):
        check_place(tmp_path)


def test_a_device_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a regular file"):
        check_place(Path("/dev/null"))


def test_another_kind_of_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("this is no database, but dear to somebody")
    with pytest.raises(ConfigurationError, match="not an SQLite database"):
        check_place(file)
    assert file.read_text().startswith("this is no database")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError):
        check_place(tmp_path / "file" / "lmflow.db")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may write everywhere; so for a moment this process is nobody."""
    before = os.getresuid()
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 0)
    yield
    os.setresuid(*before)


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder where its owner, and nobody, may look and not write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    yield folder
    folder.rmdir()


def test_a_place_that_cannot_be_written_is_refused(locked: Path, nobody: None) -> None:
    with pytest.raises(ConfigurationError, match="may write"):
        check_place(locked / "lmflow.db")


def test_a_place_where_nothing_can_be_created_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="cannot be created"):
        ensure_file(Path("/proc/lmflow/lmflow.db"))


def test_what_is_created_is_for_its_owner_only(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        ensure_file(tmp_path / "a" / "b" / "lmflow.db")
    finally:
        os.umask(previous)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b" / "lmflow.db").stat().st_mode & 0o777 == 0o600


def test_an_existing_file_keeps_its_content_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "lmflow.db"
    file.write_bytes(b"SQLite format 3\x00 and more")
    file.chmod(0o640)
    check_place(file)
    ensure_file(file)
    assert file.read_bytes().endswith(b"more")
    assert file.stat().st_mode & 0o777 == 0o640

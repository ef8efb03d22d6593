"""Where an SQLite database may lie, and how its file is made."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from lmflow.exceptions import ConfigurationError

MOUNTINFO = Path("/proc/self/mountinfo")
_HEADER = b"SQLite format 3\x00"
_NETWORK_TYPES = re.compile(
    r"(nfs\d*|cifs|smb\d*|smbfs|ncpfs|afs|ceph|glusterfs|lustre|gpfs|beegfs|davfs|ocfs2|gfs2"
    r"|fuse\.(sshfs|glusterfs|ceph(-fuse)?|s3fs|rclone|davfs2?|curlftpfs|gcsfuse|smbnetfs|mfs|juicefs))"
)
_REMEDY = "set [database] connection in lmflow.conf to a file on a local disk, or to a PostgreSQL or MariaDB server"


def check_place(path: Path, mountinfo: Path = MOUNTINFO) -> None:
    """Refuse with ConfigurationError, before anything is created, a place where no database can live."""
    try:
        _check_file(path)
        parent = _existing_parent(path)
        _check_filesystem(path if path.exists() else parent, mountinfo)
    except OSError as error:
        raise ConfigurationError(
            f"the database file {path} cannot be used: {error.strerror}", advice=_REMEDY
        ) from error


def ensure_file(path: Path) -> None:
    """Create missing directories with mode 0700 and the file with 0600; SQLite gives its side files the same."""
    try:
        for directory in reversed([p for p in path.parents if not p.exists()]):
            directory.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(
            f"the database file {path} cannot be created: {error.strerror}", advice=_REMEDY
        ) from error


def find_filesystem(path: Path, mountinfo: str) -> tuple[str, str]:
    """Return type and super options of the mount that holds a resolved path, by the text of a mountinfo file.

    Source: proc_pid_mountinfo(5). Of mounts on one point the last one covers the others.
    """
    best, found = -1, ("", "")
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(), right.split(" ")
        if not separator or len(fields) < 5 or len(tail) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), (tail[0], tail[2])
    return found


def _check_file(path: Path) -> None:
    if not path.exists():
        return
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"the database {path} is a directory, not a file", advice=_REMEDY)
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"the database {path} is not a regular file", advice=_REMEDY)
    if not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(
            f"the database {path} cannot be written by this user",
            advice=f"run lmflow as the file's owner (see ls -l {path}), or name another file in [database] connection",
        )
    with path.open("rb") as file:
        header = file.read(len(_HEADER))
    if header and header != _HEADER:
        raise ConfigurationError(
            f"the file {path} is not an SQLite database", advice="name another file in [database] connection"
        )


def _existing_parent(path: Path) -> Path:
    """Return the nearest directory above that exists; it has to be writable, for SQLite's side files too."""
    parent = next(p for p in path.parents if p.exists())
    if not parent.is_dir():
        raise ConfigurationError(f"the database {path} cannot be created: {parent} is not a directory", advice=_REMEDY)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the database {path} needs a directory that this user may write, and {parent} is not",
            advice="run lmflow as its owner, or name another file in [database] connection",
        )
    return parent


def _check_filesystem(existing: Path, mountinfo: Path) -> None:
    try:
        text = mountinfo.read_text(errors="surrogateescape")
    except OSError:  # not Linux, or no /proc: then nothing is known against the place
        return
    kind, options = find_filesystem(existing.resolve(), text)
    # 9p also carries the files of containers and virtual machines of one machine; over TCP it is a network's
    if _NETWORK_TYPES.fullmatch(kind) or (kind == "9p" and re.search(r"trans=(tcp|rdma)", options)):
        raise ConfigurationError(
            f"the database {existing} would lie on a network file system ({kind}): its locks do not hold between "
            "machines and SQLite's shared memory does not exist there, so two owners could write one run",
            advice=_REMEDY,
        )

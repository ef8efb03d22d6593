"""The functions of the plugin ``lmflow-guest-files``, on the files of a simulated control domain.

Written from what the plugin promises, not from the plugin: links, pipes and devices, a full disk and the limits of a
real file system do not occur here. A directory is there while a file is in it; the one for guests' files always is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

BELOW = "/var/lib/xcp/guest"
PIECE_BYTES = 64 * 1024
_END = ".lmflow-part"
_TOKEN = frozenset(string.ascii_letters + string.digits + "-")

Args = Mapping[str, str]


class GuestFileError(Exception):
    """What the plugin raises when it refuses; the name is part of the failure that XAPI reports."""


@dataclass(frozen=True, slots=True)
class Disk:
    """One control domain's files as text, and which partials are second names of files."""

    files: dict[str, str]
    links: dict[str, str]

    def load(self, path: str) -> bytes:
        """Read a file that is there; GuestFileError for a directory."""
        if path not in self.files:
            raise GuestFileError(f"{path} is no regular file" if self.has(path) else f"{path} does not exist")
        return self.files[path].encode("utf-8", "surrogateescape")

    def store(self, path: str, content: bytes) -> None:
        """Write a whole file."""
        self.files[path] = content.decode("utf-8", "surrogateescape")

    def has(self, path: str) -> bool:
        """Tell whether something has that name, a file or a directory."""
        return path in self.files or self.is_directory(path)

    def is_directory(self, path: str) -> bool:
        """Tell whether a directory has that name."""
        return path == BELOW or any(name.startswith(f"{path}/") for name in self.files)

    def is_linked(self, partial: str, path: str) -> bool:
        """Tell whether the partial is a second name of the file."""
        return self.links.get(partial) == path and self.files.get(partial) == self.files.get(path)


def stat(disk: Disk, args: Args) -> str:
    """Tell size and digest of a file, and whether it was made of that partial."""
    path = _path(args)
    told: dict[str, Any] = {"directory": _is_there(disk, path), "exists": disk.has(path)}
    if told["exists"]:
        content = disk.load(path)
        ours = "part" in args and disk.is_linked(_partial(path, args), path)
        told |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "ours": ours}
    return json.dumps(told)


def read(disk: Disk, args: Args) -> str:
    """Give a piece in base64."""
    path = _path(args)
    offset, length = _number(args, "offset"), _number(args, "length")
    _check_size(length)
    _need_directory(disk, path)
    return base64.b64encode(disk.load(path)[offset : offset + length]).decode()


def write(disk: Disk, args: Args) -> str:
    """Put a piece into a partial."""
    path = _path(args)
    partial, offset, data = _partial(path, args), _number(args, "offset"), _data(args)
    _need_directory(disk, path)
    if disk.has(path):
        raise GuestFileError(f"{path} exists; it is never replaced")
    held = disk.load(partial) if disk.has(partial) else b""
    if offset > len(held):
        raise GuestFileError(f"the partial of {path} has {len(held)} bytes: a piece at {offset} would leave a gap")
    disk.store(partial, held[:offset] + data + held[offset + len(data) :])
    return json.dumps({"size": len(disk.load(partial))})


def finish(disk: Disk, args: Args) -> str:
    """Give a partial the name that it is for."""
    path = _path(args)
    partial, size, digest = _partial(path, args), _number(args, "size"), _digest(args)
    _need_directory(disk, path)
    if not disk.has(partial):
        raise GuestFileError(f"there is no partial of {path} with this token")
    content = disk.load(partial)
    if len(content) != size:
        raise GuestFileError(f"the partial of {path} has {len(content)} bytes, not {size}")
    if hashlib.sha256(content).hexdigest() != digest:
        raise GuestFileError(f"the partial of {path} has not the digest that it should have")
    if disk.has(path) and not disk.is_linked(partial, path):
        raise GuestFileError(f"{path} exists; it is never replaced")
    disk.files[path] = disk.files[partial]
    disk.links[partial] = path
    return json.dumps({"size": size})


def discard(disk: Disk, args: Args) -> str:
    """Take a partial's name away."""
    partial = _partial(_path(args), args)
    disk.links.pop(partial, None)
    return json.dumps({"removed": disk.files.pop(partial, None) is not None})


def remove(disk: Disk, args: Args) -> str:
    """Remove a file of that digest."""
    path, digest = _path(args), _digest(args)
    if disk.has(path) and hashlib.sha256(disk.load(path)).hexdigest() != digest:
        raise GuestFileError(f"{path} has another digest; it is not removed")
    return json.dumps({"removed": disk.files.pop(path, None) is not None})


FUNCTIONS: dict[str, Callable[[Disk, Args], str]] = {
    "stat": stat,
    "read": read,
    "write": write,
    "finish": finish,
    "discard": discard,
    "remove": remove,
}
READING = frozenset({"stat", "read"})


def _need(args: Args, name: str) -> str:
    if name not in args:
        raise GuestFileError(f"the argument {name} is missing")
    return args[name]


def _path(args: Args) -> str:
    path = _need(args, "path")
    plain = path.isascii() and path.isprintable()
    if not plain or posixpath.normpath(path) != path or not path.startswith(f"{BELOW}/"):
        told = path.encode("unicode_escape").decode()
        raise GuestFileError(f"the path is not one below {BELOW} in plain ASCII: {told}")
    if path.endswith(_END):
        raise GuestFileError(f"{path} is the name of a partial")
    return path


def _partial(path: str, args: Args) -> str:
    token = _need(args, "part")
    if not 8 <= len(token) <= 64 or not _TOKEN.issuperset(token):
        raise GuestFileError("a token has 8 to 64 letters, digits and dashes")
    return f"{posixpath.dirname(path)}/.{posixpath.basename(path)}.{token}{_END}"


def _number(args: Args, name: str) -> int:
    text = _need(args, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise GuestFileError(f"{name} is not a number of bytes")
    return int(text)


def _digest(args: Args) -> str:
    text = _need(args, "sha256")
    if len(text) != 64 or not frozenset("0123456789abcdef").issuperset(text):
        raise GuestFileError("sha256 is not a digest of 64 hexadecimal digits")
    return text


def _data(args: Args) -> bytes:
    text = _need(args, "data")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise GuestFileError("data is not base64") from None
    _check_size(len(data))
    return data


def _check_size(count: int) -> None:
    if count > PIECE_BYTES:
        raise GuestFileError(f"a piece has at most {PIECE_BYTES} bytes, not {count}")


def _is_there(disk: Disk, path: str) -> bool:
    """Tell whether the path's directory is there; a file on the way to it is an error."""
    directory = posixpath.dirname(path)
    place = directory
    while place.startswith(f"{BELOW}/"):
        if place in disk.files:
            raise GuestFileError(f"{place} is no directory")
        place = posixpath.dirname(place)
    return disk.is_directory(directory)


def _need_directory(disk: Disk, path: str) -> None:
    if not _is_there(disk, path):
        raise GuestFileError(f"the directory {posixpath.dirname(path)} is missing")

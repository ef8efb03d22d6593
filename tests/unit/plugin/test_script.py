"""The plugin as XAPI starts it: one file, one argument, Python 2.7 or 3.6."""

import ast
import base64
import os
import pathlib
import py_compile
import subprocess
import sys
import xmlrpc.client
from typing import Any

from lmflow.xapi import guest_files, records
from tests.support.guest_file_cases import KERNEL, PART

LINUX_ARGUMENT_BYTES = 131072
"""What one argument of a command may have, its end included. Source: MAX_ARG_STRLEN of execve(2)."""


def make_call(function: str, args: dict[str, str]) -> str:
    return xmlrpc.client.dumps(("OpaqueRef:" + "0" * 36, args), function)


def run(script: pathlib.Path, standin: pathlib.Path, call: str) -> Any:
    """Run the script itself with one call and return the answer."""
    environment = {**os.environ, "PYTHONPATH": str(standin), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, str(script), call], env=environment, capture_output=True, check=True)
    (answer,), _ = xmlrpc.client.loads(done.stdout)
    return answer


def test_it_answers_as_a_plugin(script: pathlib.Path, standin: pathlib.Path) -> None:
    said = run(script, standin, make_call("stat", {"path": "/etc/passwd"}))
    assert said["ErrorDescription"][:3] == ["XENAPI_PLUGIN_FAILURE", "stat", "GuestFileError"]
    assert "not one below /var/lib/xcp/guest " in said["ErrorDescription"][3]
    assert run(script, standin, make_call("rm", {}))["ErrorDescription"] == ["UNKNOWN_XENAPI_PLUGIN_FUNCTION", "rm"]


def test_the_largest_piece_fits_into_one_argument(script: pathlib.Path, standin: pathlib.Path) -> None:
    longest = "/etc/" + "k" * 4000  # no path below the root is longer; this one is refused before anything is done
    data = base64.b64encode(b"\xff" * guest_files.PIECE_BYTES).decode()
    call = make_call("write", {"path": longest, "part": PART, "offset": "9" * 15, "data": data})
    assert len(call) < LINUX_ARGUMENT_BYTES
    assert run(script, standin, call)["Status"] == "Failure"


def test_where_xapi_has_its_module_for_python_2_only_it_starts_itself_again(
    script: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "python2"
    other.write_text('#!/bin/sh\necho "$@"\n')
    other.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(script), "<call/>"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    assert done.stdout.split() == [str(script), "<call/>"]


def test_it_is_executable_and_compiles(script: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert os.access(script, os.X_OK)
    assert py_compile.compile(str(script), cfile=str(tmp_path / "compiled"), doraise=True)


def test_it_holds_nothing_that_python_2_does_not_know(script: pathlib.Path) -> None:
    text = script.read_bytes().decode("ascii")
    tree = ast.parse(text, feature_version=(3, 6))
    too_new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.AsyncFunctionDef, ast.Await, ast.Starred)
    found = [type(node).__name__ for node in ast.walk(tree) if isinstance(node, (*too_new, ast.YieldFrom))]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            every = [*node.args.args, node.args.vararg, node.args.kwarg]
            found += [node.name] if node.returns or node.args.kwonlyargs or node.args.posonlyargs else []
            found += [node.name for each in every if each is not None and each.annotation]
        if isinstance(node, ast.Raise) and node.cause is not None:
            found.append("raise from")
        if isinstance(node, ast.ClassDef) and node.keywords:
            found.append(node.name)
    assert found == []


def test_lmflow_calls_it_by_its_name_and_with_its_limits(script: pathlib.Path) -> None:
    assert guest_files.PLUGIN == script.name == records.GUEST_FILES_KEY
    assert f"PIECE_BYTES = {guest_files.PIECE_BYTES}" in script.read_text()
    assert f'ROOT = "{KERNEL.rpartition("/")[0]}"' in script.read_text()

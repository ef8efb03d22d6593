"""Log records for people and for machines; handlers only while a command runs, and never by the library."""

import ast
import datetime
import io
import json
import logging
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

import lmflow
from lmflow.cli import logs
from lmflow.cli.main import LmflowApp

SECRETS = "OpaqueRef:12ab-34 session_id=9f postgresql://ann:swordfish@db/lmflow"
RUN_UUID = "a1c9f00d-0000-0000-0000-000000000000"


def make_record(message: str = "the pool is silent", level: int = logging.WARNING) -> logging.LogRecord:
    try:
        raise ValueError(SECRETS)
    except ValueError:
        return logging.LogRecord("lmflow.xapi", level, "file.py", 1, message, (), sys.exc_info())


def test_people_read_time_level_and_message() -> None:
    record = make_record("the pool is silent\nand more of it")
    at = datetime.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
    assert logs.TextFormatter().format(record) == f"{at} warning the pool is silent"
    assert logs.TextFormatter(names=True).format(record) == f"{at} warning lmflow.xapi: the pool is silent"


def test_people_see_tracebacks_and_further_lines_when_debugging() -> None:
    told = logs.TextFormatter(debug=True).format(make_record("one\ntwo"))
    assert told.splitlines()[1:3] == ["two", "Traceback (most recent call last):"]


def test_machines_read_one_object_a_line() -> None:
    record = make_record("one\ntwo")
    record.created = 0.5
    record.run_uuid = RUN_UUID
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "warning",
        "logger": "lmflow.xapi",
        "message": "one\ntwo",
        "run_uuid": RUN_UUID,
    }


def test_machines_get_the_exception_only_when_debugging() -> None:
    assert "exception" not in json.loads(logs.JsonFormatter().format(make_record()))
    assert "Traceback" in json.loads(logs.JsonFormatter(debug=True).format(make_record()))["exception"]


@pytest.mark.parametrize("formatter", [logs.TextFormatter, logs.JsonFormatter])
def test_no_format_shows_a_secret_or_obeys_a_name(formatter: type[logs.TextFormatter | logs.JsonFormatter]) -> None:
    told = formatter(debug=True).format(make_record(f"{SECRETS} \x1b[31m"))
    assert not [secret for secret in ("12ab", "9f", "swordfish", "\x1b") if secret in told]


@pytest.fixture
def make_app(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[LmflowApp]]:
    """The application, to be made when the streams are in place; it leaves logging as it found it."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("LMFLOW_CONFIG_FILE", raising=False)
    monkeypatch.chdir(tmp_path)

    def look() -> tuple[object, ...]:
        root = logging.getLogger()
        # pytest's own handlers come and go with the phases of a test
        ours = [handler for handler in root.handlers if "pytest" not in type(handler).__module__]
        return ours, root.level, logging.getLogger("lmflow").level, logging.raiseExceptions

    before = look()
    yield LmflowApp
    assert look() == before


@pytest.mark.parametrize("form", logs.FORMATS)
def test_the_log_file_says_how_a_command_ended(form: str, make_app: type[LmflowApp], tmp_path: pathlib.Path) -> None:
    assert make_app().run(["--log-file", "log", "--log-format", form, "run", "nosuch"]) == 2
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "there is no command 'run nosuch' (exit 2)" in line
    assert (form == "json") is line.startswith("{")


def test_the_terminal_is_told_once(make_app: type[LmflowApp], capsys: pytest.CaptureFixture[str]) -> None:
    assert make_app().run(["-v", "-v", "nosuch"]) == 2
    assert capsys.readouterr().err.count("there is no command") == 1


@pytest.mark.parametrize("where", ["", "nosuch/log", "x" * 300], ids=["a directory", "no directory", "too long"])
def test_a_log_file_that_cannot_be_opened_is_a_usage_error(
    where: str, make_app: type[LmflowApp], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_app().run(["--log-file", str(tmp_path / where), "explain"]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert "cannot be written: " in told.err.splitlines()[0]


def test_a_log_file_that_gets_full_is_told_of_once(
    make_app: type[LmflowApp], capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app()
    app.options = app.parser.parse_known_args(["--log-file", "/dev/full"])[0]
    app.configure_logging()
    for _ in range(3):
        logging.getLogger("lmflow.tests").warning("something")
    app.run(["--version"])
    told = capsys.readouterr().err
    assert told.count("log file /dev/full cannot be written") == 1
    assert "Traceback" not in told


LOUD = {"-q": (False, False), "": (True, False), "-v": (True, True), "-vv": (True, True)}


@pytest.mark.parametrize("option", LOUD)
def test_how_much_the_terminal_shows(option: str, make_app: type[LmflowApp]) -> None:
    app = make_app()
    app.stderr = io.StringIO()
    app.options = app.parser.parse_known_args([option] if option else [])[0]
    app.configure_logging()
    logging.getLogger("lmflow.xapi").warning("ours")
    logging.getLogger("taskflow").warning("theirs")
    logging.getLogger("sqlalchemy").info("a statement")
    assert not logging.getLogger("sqlalchemy").isEnabledFor(logging.INFO) or option == "-vv"
    told = app.stderr.getvalue()
    app.run(["--version"])
    assert ("ours" in told, "theirs" in told) == LOUD[option]


USE = """
import logging, sys
import lmflow.api
for name in lmflow.api.__all__:
    getattr(lmflow.api, name)
with lmflow.api.Records(database_url=f"sqlite:///{sys.argv[1]}") as records:
    records.runs()
root, ours = logging.getLogger(), logging.getLogger("lmflow")
assert root.level == logging.WARNING and not root.handlers, root.handlers
assert ours.level == logging.NOTSET and ours.propagate, ours
assert all(type(handler) is logging.NullHandler for handler in ours.handlers), ours.handlers
"""


def test_the_library_leaves_logging_to_its_user(tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, "-c", USE, str(tmp_path / "lmflow.db")], check=True, timeout=120)


def test_only_the_command_and_the_simulator_set_logging_up() -> None:
    root = pathlib.Path(str(lmflow.__file__)).parent
    touching = {"basicConfig", "addHandler", "setLevel", "dictConfig", "fileConfig", "captureWarnings"}
    found = {
        path.relative_to(root).parts[0]
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in touching
    }
    assert found <= {"cli", "simulator"}
    assert "cli" in found, "the search sees what it looks for"

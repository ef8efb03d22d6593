"""Pictures as data: the schema describes them, all of them and nothing else."""

import dataclasses
import json
import pathlib
from typing import Any

import jsonschema
import pytest

from lmflow import visualize
from lmflow.models import Attempt, RunState
from lmflow.visualize import Edge, Group, Node, Picture
from tests.support import answers, pictures
from tests.support.stored_runs import CRASHED, draw_run

FILE = pathlib.Path(__file__).parents[3] / "doc" / "source" / "schemas" / "picture.v1.json"


@pytest.fixture
def schema() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


def spell(picture: Picture) -> Any:
    return json.loads(visualize.render(picture, "json"))


def test_the_schema_is_one(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == visualize.SCHEMA


@pytest.mark.parametrize("name", pictures.NAMES)
def test_definitions_agree_with_the_schema(schema: Any, name: str) -> None:
    jsonschema.validate(spell(pictures.make_definition(name)), schema)


def test_a_run_agrees_with_the_schema(schema: Any) -> None:
    attempt = Attempt("t", "a1c9", 1, "accepted", 0.0, "s", progress=0.43)
    run = answers.make_run(RunState.SUSPENDED)
    jsonschema.validate(spell(draw_run(run, CRASHED, attempts=(attempt,))), schema)


def test_the_schema_refuses_what_is_no_picture(schema: Any) -> None:
    whole = spell(pictures.make_definition("move"))
    for broken in ({**whole, "schema": "lmflow.picture/2"}, {**whole, "nodes": [{"id": 1}]}, {"title": "move"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def test_the_schema_knows_each_field_there_is(schema: Any) -> None:
    described = {"picture": schema, **schema["$defs"]}
    fields = {"picture": Picture, "node": Node, "edge": Edge, "group": Group}
    for name, model in fields.items():
        known = {field.name for field in dataclasses.fields(model)} | ({"schema"} if name == "picture" else set())
        assert set(described[name]["properties"]) == known
        assert set(described[name]["required"]) == known

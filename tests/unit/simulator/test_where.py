"""The query language, as XAPI's lexer and grammar read it."""

import pytest

from lmflow.simulator.database.schema import Field, Schema
from lmflow.simulator.database.where import compile_query, show_value
from lmflow.simulator.failures import ApiFailure

RECORD = {"name_label": "x", "count": 3, "flag": True, "tags": ["a", "b c"], "other_config": {"k": "it's"}, "none": []}
FIELDS = [Field(name, "", "", "", db_name={"name_label": "name__label"}.get(name, name)) for name in RECORD]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("true", True),
        ("false", False),
        ("not true", False),
        ("false or true and false", False),
        ("true or true and false", False),  # and, or: alike, from the left
        ("true or (true and false)", True),
        ("not false and false", True),  # not takes all that follows
        ("(not false) and false", False),
        ("notfalse", True),
        ("not not not false", True),
        ("not not true and false", False),
        ("not " * 3000 + "true", True),
        ("true" + " and true" * 3000, True),
        ("false" + " or false" * 3000 + " or true", True),
        ("(" * 90 + "true" + ")" * 90, True),
        ("trueandfalse", False),
        ("(false or true) and true", True),
        ('field"name__label"="x"', True),
        ('"x" = field "name__label"', True),
        ('"x" = "x"', True),
        ('field "count" = "3"', True),
        ('field "flag" = "true"', True),
        ("field \"tags\" = \"('a' 'b%_c')\"", True),
        ("field \"other_config\" = \"(('k' 'it\\'s'))\"", True),
        ('field "none" = "()"', True),
        ('true or field "nope" = "x"', True),  # looked up only when it matters
    ],
)
def test_queries(query: str, expected: bool) -> None:
    assert compile_query(query, FIELDS)(RECORD) is expected


@pytest.mark.parametrize(
    "query", ["", "true true", "(true", "field = field", "and", '"a"', "true )", "= =", "true and"]
)
def test_queries_that_cannot_be_parsed(query: str) -> None:
    with pytest.raises(ApiFailure) as refused:
        compile_query(query, FIELDS)
    assert refused.value.description == ["INVALID_VALUE", query, "Stdlib.Parsing.Parse_error"]


@pytest.mark.parametrize("query", ["field 'count' = \"3\"", "TRUE", "true & false", "\rtrue", '"open'])
def test_queries_that_cannot_be_read(query: str) -> None:
    with pytest.raises(ApiFailure) as refused:
        compile_query(query, FIELDS)
    assert refused.value.description == ["INVALID_VALUE", query, 'Failure("lexing: empty token")']


def test_a_parse_error_is_told_before_what_stands_behind_it() -> None:
    with pytest.raises(ApiFailure) as refused:
        compile_query("true true !", FIELDS)
    assert refused.value.description[2] == "Stdlib.Parsing.Parse_error"


@pytest.mark.parametrize("name", ["name_label", "nope", ""])
def test_only_names_of_the_database_are_fields(name: str) -> None:
    test = compile_query(f'field "{name}" = "x"', FIELDS)
    with pytest.raises(ApiFailure) as refused:
        test(RECORD)
    assert refused.value.description == ["INTERNAL_ERROR", "missing field", name, ""]


def test_namespaces_of_the_model_are_known() -> None:
    fields = Schema.load().classes["VM"].fields
    names = ("name_label", "memory_static_max", "VCPUs_max", "power_state", "HVM_boot_policy", "other_config")
    assert [fields[name].db_name for name in names] == [
        "name__label",
        "memory__static_max",
        "VCPUs__max",
        "power_state",
        "HVM__boot_policy",
        "other_config",
    ]
    assert Schema.load().classes["pool"].fields["name_label"].db_name == "name_label"
    assert Schema.load().classes["host"].fields["API_version_major"].db_name == "API_version__major"


def test_values_are_written_as_the_database_does() -> None:
    values = [True, 7, 1.0, "text", [], {"": "%"}]
    assert [show_value(value) for value in values] == ["true", "7", "1", "text", "()", "(('%.' '%%'))"]


@pytest.mark.parametrize("query", ["(" * 3000 + "true" + ")" * 3000, "not true and " * 900 + "true"])
def test_depth_has_a_limit(query: str) -> None:
    with pytest.raises(ApiFailure) as refusal:
        compile_query(query, FIELDS)
    assert refusal.value.description == ["INVALID_VALUE", query, "Stdlib.Parsing.Parse_error"]

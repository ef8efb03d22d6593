"""XML-RPC to the byte."""

import xmlrpc.client

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmflow.simulator.database.values import DateTime, Int32
from lmflow.simulator.wire import codec


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "<value></value>"),
        ("", "<value></value>"),
        ("a<b>&\"c'", "<value>a&lt;b&gt;&amp;&quot;c'</value>"),
        ("a\x00\x1b\tb\n", "<value>a\tb\n</value>"),
        (5, "<value>5</value>"),
        (2**40, "<value>1099511627776</value>"),
        (Int32(5), "<value><i4>5</i4></value>"),
        (True, "<value><boolean>1</boolean></value>"),
        (1.0, "<value><double>1</double></value>"),
        (1 / 11, "<value><double>0.09090909090909091</double></value>"),
        (DateTime.of(0), "<value><dateTime.iso8601>19700101T00:00:00Z</dateTime.iso8601></value>"),
        ([], "<value><array><data></data></array></value>"),
        (["a", 1], "<value><array><data><value>a</value><value>1</value></data></array></value>"),
        ({}, "<value><struct></struct></value>"),
        ({"a&": ""}, "<value><struct><member><name>a&amp;</name><value></value></member></struct></value>"),
    ],
)
def test_values_are_written_as_xapi_writes_them(value: object, text: str) -> None:
    assert codec.encode_value(value) == text


def test_what_xapi_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        codec.encode_value(1j)


def test_a_failure_is_a_struct_with_its_description() -> None:
    assert codec.encode_failure(["A", "b"]) == (
        b'<?xml version="1.0"?><methodResponse><params><param><value><struct>'
        b"<member><name>Status</name><value>Failure</value></member>"
        b"<member><name>ErrorDescription</name><value><array><data><value>A</value><value>b</value></data></array>"
        b"</value></member></struct></value></param></params></methodResponse>"
    )


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
KEYS = TEXT.filter(bool)  # XAPI reads no member without a name
VALUES = st.recursive(TEXT | st.booleans(), lambda v: st.lists(v) | st.dictionaries(KEYS, v), max_leaves=10)


@settings(deadline=None)
@given(VALUES)
def test_a_client_reads_what_was_written(value: object) -> None:
    (found,), _ = xmlrpc.client.loads(codec.encode_success(value))
    assert found == {"Status": "Success", "Value": value}


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4))
def test_a_call_is_read_as_it_was_sent(params: list[object]) -> None:
    body = xmlrpc.client.dumps(tuple(params), "VM.call").encode()
    assert codec.parse_call(body) == ("VM.call", params)


def test_integers_of_all_kinds_and_bare_text_are_read() -> None:
    body = (
        b"<methodCall><methodName>m</methodName><params><param><value>bare</value></param>"
        b"<param><value><int>1</int></value></param><param><value><i4>2</i4></value></param>"
        b"<param><value><i8>3</i8></value></param><param><value><double>1.5</double></value></param>"
        b"<param><value><dateTime.iso8601>20260101T00:00:00Z</dateTime.iso8601></value></param></params></methodCall>"
    )
    assert codec.parse_call(body) == ("m", ["bare", 1, 2, 3, 1.5, "20260101T00:00:00Z"])


@pytest.mark.parametrize("body", [b"", b"x", b"<a/>", b"<methodCall>", b"\xff", b"<methodResponse></methodResponse>"])
def test_what_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(codec.MalformedCall):
        codec.parse_call(body)

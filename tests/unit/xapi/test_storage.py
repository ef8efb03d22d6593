"""What may be a secret in a PBD's device_config stands in no failure."""

from __future__ import annotations

import pytest

from lmflow.models import XapiError
from lmflow.xapi.storage import mask_values


def test_values_that_may_be_secrets_are_masked_wherever_they_stand() -> None:
    config = {"server": "192.0.2.5", "username": "hunter22", "x": "0b5c3c8e", "target": "nas"}
    error = XapiError("SR_BACKEND_FAILURE_96", ("", "login at 192.0.2.5 with hunter22 (0b5c3c8e) refused", "hunter22"))
    told = "login at 192.0.2.5 with (device_config) ((device_config)) refused"
    assert mask_values(error, config) == XapiError("SR_BACKEND_FAILURE_96", ("", told, "(device_config)"))


@pytest.mark.parametrize("key", ["chappassword", "password_secret", "cifspassword", "apikey"])
def test_beside_a_password_only_the_code_is_told(key: str) -> None:
    error = XapiError("SR_BACKEND_FAILURE_96", ("", "mount with pa%26s refused"))
    assert mask_values(error, {key: "pa&s"}).params == ("", "(device_config)")
    assert mask_values(error, {key: ""}) == error


@pytest.mark.parametrize(
    "spelled", ["a<b>&'\"c d", "a&lt;b&gt;&amp;'\"c d", "a&lt;b&gt;&amp;&#x27;&quot;c d", "a%3Cb%3E%26%27%22c%20d"]
)
def test_a_value_is_masked_in_the_spelling_of_xml_and_of_urls(spelled: str) -> None:
    assert mask_values(XapiError("X", (f"<{spelled}>",)), {"x": "a<b>&'\"c d"}).params == ("<(device_config)>",)


def test_a_longer_secret_is_masked_whole() -> None:
    error = XapiError("X", ("a-word-and-more",))
    assert mask_values(error, {"a": "a-word"}, {"b": "a-word-and-more"}).params == ("(device_config)",)


def test_what_is_no_secret_stays_readable() -> None:
    error = XapiError("X", ("true: mount 192.0.2.5:/vol failed, 4 tries",))
    assert mask_values(error, {"server": "192.0.2.5", "serverpath": "/vol", "flag": "true", "tries": "4"}) == error

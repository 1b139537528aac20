"""What comes back holds no secret, in whatever way it is spelled."""

from __future__ import annotations

import base64
import html
import json
import logging
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from roles.runners import RunnerError
from roles.runners.hosting import Parked
from roles.secrets.logs import discreet
from roles.secrets.redaction import NOTHING, Redactor

VALUE = 'can4ry/ä+"&\n value'
LABEL = "[secret:key]"
REDACTOR = Redactor({"key": VALUE})


@pytest.mark.parametrize(
    "spelled",
    [
        VALUE,
        f"x{VALUE}y",
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        quote(VALUE, safe="").lower(),
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        json.dumps({"a": [VALUE]}),
        repr(VALUE),
        html.escape(VALUE),
        " ".join(VALUE.split()),
    ],
)
def test_every_spelling_of_a_value_is_redacted(spelled: str) -> None:
    redacted = REDACTOR.text(f"before {spelled} after")
    assert LABEL in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert "can4ry" not in redacted


@pytest.mark.parametrize("user", ["", "u", "ab", "abc", "abcd", "a long name"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_redacted_wherever_the_value_lies_in_it(
    user: str, encode: Any
) -> None:
    value = "p4ssw0rd>>>???"
    told = encode(f"{user}:{value}:more".encode()).decode()
    redacted = Redactor({"key": value}).text(told)
    assert LABEL in redacted
    rest = redacted.replace(LABEL, "A" * (len(told) - len(redacted) + len(LABEL)))
    assert value[1:-1].encode() not in base64.b64decode(rest + "==", altchars=b"-_")


def test_values_names_of_fields_and_numbers_are_redacted() -> None:
    redactor = Redactor({"key": "s3cret-value", "pin": "123456789"})
    given = {
        "s3cret-value": ["a s3cret-value b", {"x": 123456789, "y": -1.5}],
        "n": None,
        "t": True,
    }
    assert redactor.value(given) == {
        LABEL: ["a [secret:key] b", {"x": "[secret:pin]", "y": -1.5}],
        "n": None,
        "t": True,
    }


def test_without_secrets_everything_is_the_same_object() -> None:
    given = {"a": ["b", 1]}
    error = ValueError("x")
    logger = logging.getLogger("test")
    assert NOTHING.value(given) is given
    assert NOTHING.failure(error) is error
    assert discreet(logger, NOTHING) is logger
    assert not NOTHING
    assert REDACTOR.text("innocent") == "innocent"
    assert REDACTOR.value(given) == given


def test_a_short_value_is_redacted_as_a_word_of_its_own_only() -> None:
    redactor = Redactor({"pin": "4711"})
    assert redactor.text("pin=4711, not 14711 or a4711") == (
        "pin=[secret:pin], not 14711 or a4711"
    )


def test_a_value_of_blanks_redacts_nothing() -> None:
    assert Redactor({"a": "", "b": "   \n"}).text("a b   \n c") == "a b   \n c"


def test_blanks_around_a_value_do_not_hide_it() -> None:
    assert Redactor({"key": " s3cret-value\n"}).text("<s3cret-value>") == f"<{LABEL}>"


def test_a_secret_inside_of_another_breaks_neither() -> None:
    redactor = Redactor({"short": "s3cret-value", "long": "my-s3cret-value-2"})
    assert redactor.text("my-s3cret-value-2 s3cret-value") == (
        "[secret:long] [secret:short]"
    )


@pytest.mark.parametrize("cut", ["…", "..."])
def test_the_beginning_of_a_value_is_redacted_where_a_text_was_cut(cut: str) -> None:
    redactor = Redactor({"key": "abcdefghijklmnop"})
    assert redactor.text(f"it said abcdefghi{cut} and more") == (
        f"it said [secret:key]{cut} and more"
    )
    assert redactor.text(f"abcde{cut}") == f"abcde{cut}"


def test_the_secret_parts_of_a_url_are_redacted_by_themselves() -> None:
    redactor = Redactor({"hook": "https://h.example/services/T0/B0?token=abcdefgh"})
    assert "T0/B0" not in redactor.text("Cannot POST /services/T0/B0")
    assert "abcdefgh" not in redactor.text("?token=abcdefgh")
    assert redactor.text("https://h.example/") == "https://h.example/"


def test_a_failure_tells_the_same_without_the_secret() -> None:
    redactor = Redactor({"key": "s3cret-value"})
    error = redactor.failure(
        RunnerError("no s3cret-value", type="odd", retryable=False, retry_after_s=2.0)
    )
    assert isinstance(error, RunnerError)
    assert (error.message, error.type, error.retryable, error.retry_after_s) == (
        "no [secret:key]",
        "odd",
        False,
        2.0,
    )


def test_a_secret_anywhere_in_a_traceback_costs_the_traceback() -> None:
    redactor = Redactor({"key": "s3cret-value"})

    def fail() -> None:
        numbers: dict[str, int] = {}
        try:
            numbers["s3cret-value"]
        except KeyError as cause:
            raise ValueError("bad") from cause

    with pytest.raises(ValueError, match="bad") as caught:
        fail()
    told = redactor.failure(caught.value)
    assert isinstance(told, RunnerError)
    assert (told.message, told.type, told.retryable) == (
        "ValueError: bad",
        "exception",
        True,
    )
    assert told.__cause__ is None
    assert told.__traceback__ is None


def test_an_innocent_failure_stays_what_it_is() -> None:
    error = ValueError("bad")
    assert Redactor({"key": "s3cret-value"}).failure(error) is error


def test_what_waits_goes_on_waiting() -> None:
    parked = Redactor({"key": "s3cret-value"}).failure(
        Parked("no s3cret-value", kind="provider", after_s=3)
    )
    assert isinstance(parked, Parked)
    assert (parked.detail, parked.kind, parked.after_s) == (
        "no [secret:key]",
        "provider",
        3,
    )


def test_a_discreet_logger_says_nothing_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = discreet(logging.getLogger("test"), Redactor({"key": "s3cret-value"}))
    caplog.set_level(logging.INFO)
    logger.info("sent %s", "s3cret-value", extra={"more": "s3cret-value"})
    logger.debug("never %s", "shown")
    try:
        int("s3cret-value")
    except ValueError:
        logger.exception("failed")
    first, second = caplog.records
    assert first.getMessage() == "sent [secret:key]"
    assert first.more == "[secret:key]"  # type: ignore[attr-defined]
    assert first.filename == "test_secret_redaction.py"
    assert "literal for int() with base 10: '[secret:key]'" in second.getMessage()
    assert "s3cret-value" not in caplog.text


def test_what_an_endpoint_throws_back_is_cut_and_redacted(server, fails) -> None:
    value = "abcdefghijklmnopqrstuvwxyz0123456789"
    server.says("/", b"x" * 290 + b" " + value.encode(), 401, Content_Type="text/plain")
    error = fails({"url": server.url, "headers": {"X-Key": value}})
    assert "abcdefgh" in error.message
    told = Redactor({"key": value}).failure(error)
    assert str(told).endswith("[secret:key]…")


def test_many_cuts_and_a_long_value_take_no_time_to_speak_of() -> None:
    redactor = Redactor({"key": "abcdef" * 8_000})
    text = ("abcdef" * 10 + "…") * 300
    assert redactor.text(text) == "[secret:key]…" * 300

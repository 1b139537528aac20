"""Log lines for people and for machines."""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
import structlog

from config.logs import logging_config


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(*, as_json: bool, level: str = "INFO") -> io.StringIO:
    logging.config.dictConfig(logging_config(level=level, as_json=as_json))
    stream = io.StringIO()
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


def test_a_json_line_carries_message_level_logger_and_extras() -> None:
    stream = lines(as_json=True)

    logging.getLogger("core.steps").warning("late by %s s", 3, extra={"path": "plan"})

    entry = json.loads(stream.getvalue())
    assert entry["event"] == "late by 3 s"
    assert (entry["level"], entry["logger"]) == ("warning", "core.steps")
    assert entry["path"] == "plan"


def test_an_exception_stays_on_its_json_line() -> None:
    stream = lines(as_json=True)

    try:
        int("no")
    except ValueError:
        logging.getLogger("x").exception("failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_what_is_below_the_level_is_left_out() -> None:
    stream = lines(as_json=False, level="WARNING")

    logging.getLogger("x").info("nothing")

    assert stream.getvalue() == ""


def test_a_line_per_message_of_a_queue_is_left_out() -> None:
    stream = lines(as_json=False)

    logging.getLogger("celery.app.trace").info("Task succeeded")

    assert stream.getvalue() == ""

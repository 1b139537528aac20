from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from roles.runners.http_response import retry_after

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("1.5", 1.5),
        ("9999999999", 86_400),
        (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120),
        (format_datetime(NOW - timedelta(days=2), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 86_400),
        ("Thu, 01 Jan 2026 12:00:05 -0000", 5),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("٣", None),
        ("9" * 5000, None),
        ("Fri, 99 Foo 2026", None),
    ],
)
def test_the_asked_for_pause_is_read_as_seconds(value, seconds):
    assert retry_after({"retry-after": value}, now=NOW) == seconds


def test_no_pause_is_asked_for_by_default():
    assert retry_after({}, now=NOW) is None

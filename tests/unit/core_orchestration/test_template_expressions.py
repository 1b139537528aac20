"""Filters, arithmetic and comparisons of templates are typed and refuse the rest."""

from __future__ import annotations

from typing import Any

import pytest

from core_orchestration.language import Template, TemplateRenderError

SCOPE: dict[str, Any] = {
    "n": 7,
    "text": " Some <b>text</b> ",
    "items": [3, 1, 2, 1, True, 1.0],
    "numbers": [3, 1, 2],
    "words": ["b", "a"],
    "object": {"b": 1, "a": [2]},
    "null": None,
}


def evaluate(expression: str) -> Any:
    return Template.parse("{{ " + expression + " }}").render(SCOPE)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("text | trim | upper", "SOME <B>TEXT</B>"),
        ("text | lower | length", 18),
        ("object | length", 2),
        ("words | join(', ')", "b, a"),
        ("items | join('-')", "3-1-2-1-true-1.0"),
        ("numbers | first", 3),
        ("numbers | last", 2),
        ("text | tojson", '" Some <b>text</b> "'),
        ("object | tojson", '{"b":1,"a":[2]}'),
        ("words | tojson(indent=1)", '[\n "b",\n "a"\n]'),
        ("' 12 ' | int", 12),
        ("'x' | int(0)", 0),
        ("null | float(1.5)", 1.5),
        ("'2.5' | float", 2.5),
        ("object | string", '{"b":1,"a":[2]}'),
        ("'aXbX' | replace('X', '--')", "a--b--"),
        ("'abcdef' | truncate(5)", "ab..."),
        ("'abcdef' | truncate(3, end='')", "abc"),
        ("'abc' | truncate(3)", "abc"),
        ("2.6 | round", 3),
        ("2.345 | round(2)", 2.35),
        ("numbers | sort", [1, 2, 3]),
        ("words | sort(reverse=true)", ["b", "a"]),
        ("items | unique", [3, 1, 2, True]),
        ("n + 1 - 2 * 3", 2),
        ("n // 2 + n % 2", 4),
        ("n / 2", 3.5),
        ("-n", -7),
        ("'a' + 'b' ~ 1 ~ null ~ true", "ab1nulltrue"),
        ("n > 3 and n <= 7", True),
        ("1 < n < 5", False),
        ("'a' < 'b'", True),
        ("n == '7' or n == 7.0", True),
        ("true == 1", False),
        ("1 in numbers and 'z' not in words", True),
        ("'ome' in text", True),
        ("'b' in object", True),
        ("true in [1]", False),
        ("not null", True),
        ("'many' if n > 5 else 'few'", "many"),
        ("null or n", 7),
        ("[n, {'k': (1, 2)}]", [7, {"k": [1, 2]}]),
        ("({'k': 5}).k", 5),
    ],
)
def test_expressions_work_on_plain_data(expression: str, value: object) -> None:
    result = evaluate(expression)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "expression",
    [
        "n | upper",
        "null | trim",
        "n | length",
        "text | first",
        "[] | first",
        "[] | last",
        "text | join",
        "words | join(1)",
        "'x' | int",
        "object | int",
        "'1e999' | float | int",
        "'x' | round",
        "1.5 | round('2')",
        "1.5 | round(1000000)",
        "items | sort",
        "[1, 'a'] | sort",
        "'abc' | truncate('2')",
        "text | replace('a', 1)",
        "object | tojson(indent=100)",
        "1 / 0",
        "n % 0",
        "n + '1'",
        "'a' * 3",
        "'%s' % 3",
        "words + words",
        "true + 1",
        "-text",
        "n < '8'",
        "null < 1",
        "words[true]",
        "words[1.0]",
        "words[null]",
        "object[words]",
        "{n: 1}",
        "nope.x",
        "(n or 1).x",
        "1e308 * 10",
        "1e308 + 1e308",
    ],
)
def test_what_does_not_fit_is_a_render_error(expression: str) -> None:
    with pytest.raises(TemplateRenderError):
        evaluate(expression)


def test_unlike_types_are_named_in_the_error() -> None:
    with pytest.raises(TemplateRenderError, match="a number and text"):
        evaluate("n + 'x'")

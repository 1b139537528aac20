from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import pytest

import roles.builtins
from roles import functions
from roles.functions import FunctionContext, FunctionFailed
from roles.runners.results import to_json

ROWS = [
    {"id": 1, "city": "Oslo", "amount": 10, "who": {"name": "Ann"}},
    {"id": 2, "city": "Rome", "amount": 2.5, "who": {"name": "Bob"}},
    {"id": 3, "city": "Oslo", "amount": None, "who": None},
]


@pytest.fixture
def call(attempt):
    def run(name: str, given: Any, number: int = 1) -> Any:
        context = FunctionContext(
            execution_id=attempt.execution_id,
            step_key=attempt.step_key,
            attempt=number,
            idempotency_key=attempt.idempotency_key,
            deadline=attempt.deadline,
            logger=attempt.logger,
        )
        answer = functions.get(name).invoke(given, context)
        return to_json(asyncio.run(answer) if inspect.iscoroutine(answer) else answer)

    return run


def test_every_built_in_function_is_described():
    builtins = [
        entry
        for entry in functions.registered().values()
        if entry.module.startswith("roles.builtins")
    ]

    assert len(builtins) >= 30
    assert all(entry.summary.endswith((".", ";", ",")) for entry in builtins)
    assert set(roles.builtins.__all__) == {
        entry.module.rpartition(".")[2] for entry in builtins
    }


@pytest.mark.parametrize(
    ("name", "given", "result"),
    [
        ("data.pick", {"value": {"a": 1, "b": 2}, "fields": ["a", "x"]}, {"a": 1}),
        ("data.pick", {"items": [{"a": 1, "b": 2}], "fields": "b"}, [{"b": 2}]),
        ("data.omit", {"value": {"a": 1, "b": 2}, "fields": "a"}, {"b": 2}),
        (
            "data.merge",
            {"values": [{"a": 1}, None, {"a": 2, "b": 3}]},
            {"a": 2, "b": 3},
        ),
        ("data.merge", [{"a": {"x": 1}}, {"a": {"y": 2}}], {"a": {"y": 2}}),
        (
            "data.merge",
            {"values": [{"a": {"x": 1}}, {"a": {"y": 2}}], "deep": True},
            {"a": {"x": 1, "y": 2}},
        ),
        ("data.get", {"value": {"a": [{"b": 5}]}, "path": "a.0.b"}, 5),
        ("data.get", {"value": {}, "path": "a.b", "default": None}, None),
        ("data.flatten", [[1, [2]], 3], [1, [2], 3]),
        ("data.flatten", {"items": [[1, [2]], 3], "depth": 2}, [1, 2, 3]),
        (
            "data.map",
            {"items": ROWS[:1], "fields": {"n": "who.name"}, "set": {"k": 1}},
            [{"n": "Ann", "k": 1}],
        ),
        (
            "data.map",
            {"value": ROWS[2:], "fields": {"n": "who.name"}},
            [{"n": None}],
        ),
        ("data.unique", [1, 1.0, "1", [1], [1], True], [1, 1.0, "1", [1], True]),
        ("data.unique", {"items": ROWS, "by": "city"}, ROWS[:2]),
        ("data.sort", [3, None, "b", 1, "a", True], [None, True, 1, 3, "a", "b"]),
        (
            "data.sort",
            {"items": ROWS, "by": ["city", "amount"], "descending": True},
            [ROWS[1], ROWS[0], ROWS[2]],
        ),
        (
            "data.group_by",
            {"items": ROWS[:2], "by": "city"},
            [
                {"key": "Oslo", "count": 1, "items": ROWS[:1]},
                {"key": "Rome", "count": 1, "items": ROWS[1:2]},
            ],
        ),
        ("data.aggregate", {"items": ROWS}, {"count": 3}),
        (
            "data.aggregate",
            {
                "items": ROWS,
                "by": "city",
                "measures": {
                    "total": {"operation": "sum", "field": "amount"},
                    "mean": {"operation": "avg", "field": "amount"},
                    "paid": {"operation": "count", "field": "amount"},
                },
            },
            [
                {"city": "Oslo", "total": 10, "mean": 10.0, "paid": 1},
                {"city": "Rome", "total": 2.5, "mean": 2.5, "paid": 1},
            ],
        ),
        (
            "data.aggregate",
            {
                "items": [],
                "measures": {
                    "low": {"operation": "min", "field": "a"},
                    "high": {"operation": "max", "field": "a"},
                    "mean": {"operation": "avg", "field": "a"},
                    "sum": {"operation": "sum", "field": "a"},
                },
            },
            {"low": None, "high": None, "mean": None, "sum": 0},
        ),
        ("json.parse", '{"a": [1]}', {"a": [1]}),
        ("json.dump", {"value": {"b": "é", "a": 1}}, '{"b": "é", "a": 1}'),
        (
            "json.dump",
            {"value": {"b": 1, "a": 1}, "sort_keys": True},
            '{"a": 1, "b": 1}',
        ),
        ("json.dump", {"a": 1}, '{"a": 1}'),
        (
            "csv.dump",
            [{"a": 1, "b": True}, {"c": 'x,"y"'}],
            'a,b,c\n1,true,\n,,"x,""y"""\n',
        ),
        ("csv.dump", {"items": [{"a": 1, "b": 2}], "columns": ["b"]}, "b\n2\n"),
        ("csv.dump", [], "\n"),
        ("text.upper", "abc", "ABC"),
        ("text.lower", {"text": "ABC"}, "abc"),
        (
            "text.template",
            {"template": "{{{a}}} {b}", "values": {"a": "x", "b": [1]}},
            "{x} [1]",
        ),
        ("text.split", " a  b ", ["a", "b"]),
        ("text.split", {"value": "a,b,", "separator": ","}, ["a", "b", ""]),
        ("text.join", ["a", 1, None], "a1null"),
        ("text.join", {"items": ["a", "b"], "separator": ", "}, "a, b"),
        ("text.replace", {"text": "a.b.c", "find": ".", "replace": "-"}, "a-b-c"),
        (
            "text.regex_find",
            {"text": "a1 b2", "pattern": r"([a-z])(?P<n>\d)"},
            [
                {"match": "a1", "groups": ["a", "1"], "names": {"n": "1"}},
                {"match": "b2", "groups": ["b", "2"], "names": {"n": "2"}},
            ],
        ),
        ("text.regex_find", {"text": "aaa", "pattern": "a", "limit": 0}, []),
        ("math.add", {"a": 1, "b": 2}, 3),
        ("math.subtract", {"a": 1, "b": 2}, -1),
        ("math.multiply", {"a": 2, "b": 1.5}, 3.0),
        ("math.divide", {"a": 1, "b": 2}, 0.5),
        ("math.round", 2.5, 2),
        ("math.round", {"value": 2.345, "digits": 1}, 2.3),
        ("util.identity", {"a": [1]}, {"a": [1]}),
        ("util.echo", 5, {"input": 5, "step_key": "fetch", "attempt": 1}),
        ("time.delay", {"ms": 1}, {"waited_ms": 1}),
    ],
)
def test_a_built_in_function_does_what_it_says(call, name, given, result):
    before = json.dumps(given)
    answer = call(name, given)

    assert answer == result
    assert (
        [type(item) for item in answer] == [type(item) for item in result]
        if (isinstance(result, list))
        else type(answer) is type(result)
    )
    assert json.dumps(given) == before, "the input was changed"


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"field": "city", "value": "Oslo"}, [1, 3]),
        ({"field": "city", "operator": "!=", "value": "Oslo"}, [2]),
        ({"field": "amount", "operator": ">", "value": 2.5}, [1]),
        ({"field": "amount", "operator": ">=", "value": 2.5}, [1, 2]),
        ({"field": "amount", "operator": "<", "value": "x"}, []),
        ({"field": "amount", "operator": "<=", "value": 2.5}, [2]),
        ({"field": "id", "value": "1"}, []),
        ({"field": "id", "value": True}, []),
        ({"field": "id", "operator": "in", "value": [1, 2]}, [1, 2]),
        ({"field": "id", "operator": "not_in", "value": [1, 2]}, [3]),
        ({"field": "city", "operator": "contains", "value": "sl"}, [1, 3]),
        ({"field": "city", "operator": "not_contains", "value": "sl"}, [2]),
        ({"field": "who.name", "operator": "exists"}, [1, 2]),
        ({"field": "who.name", "operator": "not_exists"}, [3]),
        ({"field": "who.name", "operator": "!=", "value": "Ann"}, [2, 3]),
        ({"field": "city", "operator": "starts_with", "value": "O"}, [1, 3]),
        ({"field": "city", "operator": "ends_with", "value": "e"}, [2]),
        ({"field": "city", "operator": "matches", "value": "^R|o$"}, [1, 2, 3]),
        ({"field": "id", "operator": "matches", "value": "1"}, []),
        (
            [{"field": "city", "value": "Oslo"}, {"field": "amount", "value": None}],
            [3],
        ),
        ([], [1, 2, 3]),
    ],
)
def test_rows_are_filtered_by_strict_comparisons(call, where, ids):
    kept = call("data.filter", {"value": ROWS, "where": where})

    assert [row["id"] for row in kept] == ids


def test_a_condition_may_stand_beside_the_items(call):
    given = {"items": ROWS, "field": "id", "operator": "==", "value": 2}

    assert call("data.filter", given) == ROWS[1:2]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("data.pick", {"a": 1}, "Give a value as `fields`"),
        ("data.pick", {"value": 5, "fields": ["a"]}, "a list of objects, as `value`"),
        ("data.pick", {"value": {}, "fields": [1]}, "a name or a list of names"),
        ("data.merge", {"values": [1]}, "Value 0 must be an object or null"),
        ("data.merge", {"values": [], "deep": 1}, "`deep` must be true or false"),
        ("data.get", {"value": {"name": 1}, "path": "nmae"}, "did you mean `name`"),
        ("data.get", {"value": {"a": [1]}, "path": "a.1"}, "`a` is a list of 1"),
        ("data.get", {"value": {"a": "x"}, "path": "a.upper"}, "`a` is a text"),
        ("data.get", {"value": {}, "path": "__class__"}, "no `__class__`"),
        ("data.map", {"items": [5]}, "Item 0 must be an object, not 5"),
        ("data.map", {"items": [], "fields": {"a": 1}}, "must map each new name"),
        ("data.sort", {"items": 5}, "`items` must be a list, not 5"),
        ("data.sort", "text", "Give a list as `items`, not 'text'"),
        ("data.filter", {"value": ROWS}, "Give a value as `where`"),
        ("data.filter", {"items": [], "where": 5}, "Give a text as `field`"),
        (
            "data.filter",
            {"items": ROWS, "where": {"field": "a", "operator": "=>"}},
            "no operator '=>'",
        ),
        (
            "data.filter",
            {
                "items": ROWS,
                "where": {"field": "city", "operator": "matches", "value": "("},
            },
            "cannot be used: missing )",
        ),
        ("data.group_by", {"items": []}, "Give a text as `by`"),
        ("data.aggregate", {"items": [], "measures": {"a": 1}}, "must be an object"),
        (
            "data.aggregate",
            {"items": [], "measures": {"a": {"operation": "median"}}},
            "no operation 'median'",
        ),
        (
            "data.aggregate",
            {
                "items": [{"a": "5"}],
                "measures": {"t": {"operation": "sum", "field": "a"}},
            },
            "'a' holds '5', which is not a number",
        ),
        ("json.parse", "{", "The text is not JSON"),
        ("json.parse", "[NaN]", "NaN is not a JSON value"),
        ("json.parse", "[" * 100_000, "The text is not JSON"),
        ("json.parse", {"text": 5}, "`text` must be a text, not 5"),
        ("text.template", {"template": "{a}", "values": {"b": 1}}, "needs 'a'"),
        ("text.split", {"text": "a", "separator": ""}, "must not be empty"),
        ("text.replace", {"text": "a", "find": ""}, "must not be empty"),
        (
            "text.replace",
            {"text": "a" * 10_000, "find": "a", "replace": "b" * 10_000},
            "longer than",
        ),
        ("text.join", {"items": [""] * 100, "separator": "x" * 200_000}, "longer than"),
        ("text.regex_find", {"text": "a", "pattern": "(?=a)"}, "cannot be used"),
        ("text.regex_find", {"text": "a", "pattern": "a" * 2000}, "1000 characters"),
        ("text.upper", None, "Give a text as `text`, not None"),
        ("math.add", {"a": 1}, "Give a number as `b`"),
        ("math.add", {"a": 1, "b": "2"}, "`b` must be a number, not '2'"),
        ("math.add", {"a": True, "b": 1}, "`a` must be a number, not True"),
        ("math.divide", {"a": 1, "b": 0}, "`b` is zero"),
        ("math.divide", {"a": 10**400, "b": 1}, "too large"),
        ("math.multiply", {"a": 1e300, "b": 1e300}, "too large"),
        ("time.delay", {"ms": -1}, "must not be negative"),
    ],
)
def test_a_wrong_input_is_refused_plainly(call, name, given, message):
    with pytest.raises(FunctionFailed) as caught:
        call(name, given)

    assert message in caught.value.message
    assert not caught.value.retryable


def test_a_template_cannot_reach_into_a_value(call):
    given = {"template": "{a.__class__} {a[0]} {a!r} {0}", "values": {"a": "x", "0": 1}}

    assert call("text.template", given) == "{a.__class__} {a[0]} {a!r} 1"


def test_hostile_patterns_end_soon(call):
    given = {"text": "a" * 100_000 + "!", "pattern": "^(a+)+$"}

    assert call("text.regex_find", given) == []


def test_a_digest_does_not_depend_on_the_order_of_keys(call):
    assert call("hash.sha256", "abc").startswith("ba7816bf")
    assert call("hash.sha256", {"text": "abc"}) == call("hash.sha256", "abc")
    assert call("hash.sha256", {"a": 1, "b": 2}) == call(
        "hash.sha256", {"b": 2, "a": 1}
    )


def test_the_time_is_in_utc(call):
    now = call("time.now", None)

    assert now["iso"].endswith("Z")
    assert now["unix_ms"] > 1_700_000_000_000


def test_a_step_can_fail_on_purpose(call):
    with pytest.raises(FunctionFailed) as caught:
        call("util.fail", {"message": "no luck", "retryable": True})

    assert (caught.value.message, caught.value.retryable) == ("no luck", True)


def test_a_step_can_fail_the_first_times_only(call):
    with pytest.raises(FunctionFailed):
        call("util.fail", {"times": 2}, number=2)

    assert call("util.fail", {"times": 2}, number=3) == {"attempt": 3}

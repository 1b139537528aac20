from __future__ import annotations

import asyncio
import inspect

import pytest

from roles.functions import FunctionFailed, function
from roles.runners import RunnerError
from roles.runners.function import FunctionRunner, with_arguments

pytestmark = pytest.mark.usefixtures("own_registry")

runner = FunctionRunner()


def run(spec, given, attempt):
    result = runner.run(spec, given, attempt)
    if inspect.isawaitable(result):
        return asyncio.run(_settle(result))
    return result


async def _settle(result):
    return await result


def test_a_sync_function_runs_at_once(role, attempt):
    function("tests.double")(lambda value: {"doubled": value * 2})

    result = runner.run(role(config={"function": "tests.double"}), 4, attempt)

    assert result.output == {"doubled": 8}
    assert result.usage is None


def test_an_async_function_is_left_to_the_event_loop(role, attempt):
    @function("tests.later")
    async def later(value):
        await asyncio.sleep(0)
        return value + 1

    assert run(role(config={"function": "tests.later"}), 4, attempt).output == 5


def test_a_sync_wrapper_of_an_async_function_is_awaited_too(role, attempt):
    async def later(value):
        return value + 1

    function("tests.wrapped")(lambda value: later(value))

    assert run(role(config={"function": "tests.wrapped"}), 4, attempt).output == 5


def test_the_context_carries_the_facts_of_the_attempt(role, attempt_for):
    seen = []

    @function("tests.facts")
    def facts(value, context):
        seen.append(context)

    attempt = attempt_for(number=3, seconds=60)
    runner.run(role(config={"function": "tests.facts"}), None, attempt)

    (context,) = seen
    assert context.attempt == 3
    assert context.idempotency_key == "run-1"
    assert context.execution_id == "e1"
    assert context.step_key == "fetch"
    assert context.deadline == attempt.deadline
    assert context.logger is attempt.logger
    assert 0 < context.remaining_s() <= 60


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ({"b": 3}, {"a": 1, "b": 3}),
        ({"c": 3}, {"a": 1, "b": 2, "c": 3}),
        (None, {"a": 1, "b": 2}),
        ([1], {"a": 1, "b": 2, "value": [1]}),
        ("text", {"a": 1, "b": 2, "value": "text"}),
        (False, {"a": 1, "b": 2, "value": False}),
    ],
)
def test_fixed_arguments_are_defaults_below_the_input(given, merged):
    assert with_arguments(given, {"a": 1, "b": 2}) == merged


@pytest.mark.parametrize("given", [{"b": 3}, None, [1], "text", 0])
def test_without_arguments_the_input_is_untouched(given):
    assert with_arguments(given, {}) is given


def test_fixed_arguments_are_never_changed_by_a_call(role, attempt):
    @function("tests.greedy")
    def greedy(value):
        value["x"] = 1
        return value

    arguments = {"a": 1}
    spec = role(config={"function": "tests.greedy", "arguments": arguments})
    runner.run(spec, None, attempt)

    assert arguments == {"a": 1}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failed_function_is_classified(role, attempt, is_async):
    failure = FunctionFailed("no stock", type="empty", retryable=True, retry_after_s=9)

    def fail(value):
        raise failure

    async def fail_later(value):
        raise failure

    function("tests.fail")(fail_later if is_async else fail)

    with pytest.raises(RunnerError) as caught:
        run(role(config={"function": "tests.fail"}), 1, attempt)

    assert caught.value.message == "no stock"
    assert (caught.value.type, caught.value.retryable) == ("empty", True)
    assert caught.value.retry_after_s == 9


def test_a_failed_function_is_permanent_unless_it_says_otherwise(role, attempt):
    @function("tests.fail")
    def fail(value):
        raise FunctionFailed("no")

    with pytest.raises(RunnerError) as caught:
        run(role(config={"function": "tests.fail"}), 1, attempt)

    assert (caught.value.type, caught.value.retryable) == ("function_failed", False)


def test_any_other_exception_is_left_to_the_engine(role, attempt):
    function("tests.crash")(lambda value: value["missing"])

    with pytest.raises(KeyError, match="missing"):
        run(role(config={"function": "tests.crash"}), {}, attempt)


def test_a_result_that_is_not_json_is_refused(role, attempt):
    function("tests.set")(lambda value: {"items": {1, 2}})

    with pytest.raises(RunnerError, match="/items: set") as caught:
        run(role(config={"function": "tests.set"}), {}, attempt)

    assert (caught.value.type, caught.value.retryable) == ("not_json", False)


@pytest.mark.parametrize(
    "config", [{}, {"function": "tests.gone"}, {"function": None}, {"function": []}]
)
def test_a_function_unknown_here_fails_for_good(role, attempt, config):
    with pytest.raises(RunnerError, match="There is no function named") as caught:
        runner.run(role(config=config), None, attempt)

    assert (caught.value.type, caught.value.retryable) == ("unknown_function", False)


def test_async_functions_go_to_the_io_pool_and_others_to_cpu(role):
    async def later(value):
        return value

    function("tests.later")(later)
    function("tests.now")(lambda value: value)

    assert runner.pool(role(config={"function": "tests.later"})) == "io"
    assert runner.pool(role(config={"function": "tests.now"})) == "cpu"
    assert runner.pool(role(config={"function": "tests.unknown"})) == "cpu"
    assert runner.pool(role(config={})) == "cpu"
    assert runner.pool(role(config={"function": ["a list"]})) == "cpu"


@pytest.mark.parametrize(
    ("config", "pointer", "words"),
    [
        ({}, "/config/function", "Name the registered function"),
        ({"function": 5}, "/config/function", "Name the registered function"),
        ({"function": "tests.nwo"}, "/config/function", "Did you mean 'tests.now'?"),
        ({"function": "tests.now", "arguments": [1]}, "/config/arguments", "object"),
        ({"function": "tests.now", "args": {}}, "/config/args", "`arguments`"),
    ],
)
def test_problems_name_their_place(role, config, pointer, words):
    function("tests.now")(lambda value: value)

    ((place, sentence),) = runner.problems(role(config=config))

    assert place == pointer
    assert words in sentence


def test_a_good_configuration_has_no_problems(role):
    function("tests.now")(lambda value: value)

    assert not runner.problems(role(config={"function": "tests.now"}))

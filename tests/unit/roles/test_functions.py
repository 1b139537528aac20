from __future__ import annotations

import functools
import sys
import types
from datetime import UTC, datetime, timedelta

import pytest

from roles import functions
from roles.functions import (
    BadFunction,
    FunctionContext,
    FunctionModuleError,
    NameTaken,
    UnknownFunction,
    function,
)

pytestmark = pytest.mark.usefixtures("own_registry")


def of_this_module(value):
    """Give it back.

    And more to say.
    """
    return value


def test_a_function_is_found_by_its_name_with_the_first_line_of_its_docstring():
    assert function("tests.same")(of_this_module) is of_this_module

    entry = functions.get("tests.same")

    assert entry.call is of_this_module
    assert entry.summary == "Give it back."
    assert entry.module == __name__
    assert (entry.is_async, entry.wants_context) == (False, False)


def test_async_and_context_are_seen_in_the_signature():
    @function("tests.both")
    async def both(value, context):
        return context

    @function("tests.keyword")
    def keyword(value, *, context=None):
        return context

    assert functions.get("tests.both").is_async
    assert functions.get("tests.both").wants_context
    assert functions.get("tests.keyword").wants_context


def test_a_partial_of_an_async_function_is_async():
    async def base(scale, value):
        return scale * value

    function("tests.partial")(functools.partial(base, 2))

    assert functions.get("tests.partial").is_async


def test_extra_parameters_are_fine_when_they_have_defaults():
    @function("tests.defaults")
    def with_default(value, limit=5):
        return limit

    assert not functions.get("tests.defaults").wants_context


@pytest.mark.parametrize(
    "name", ["", "Text.upper", "1st", "a b", "a..b", ".a", "a.", "a-b", "a/b", "__x"]
)
def test_a_bad_name_is_refused(name):
    with pytest.raises(BadFunction, match="cannot name a function"):
        function(name)


def test_the_decorator_without_a_name_says_how_to_write_it():
    with pytest.raises(BadFunction, match=r'@function\("some\.name"\)'):

        @function
        def nameless(value):
            return value


@pytest.mark.parametrize(
    "call",
    [lambda: 1, lambda a, b: a, lambda a, ctx, more: a, lambda *, value: value],
    ids=["none", "two", "three", "keyword"],
)
def test_a_signature_that_cannot_be_called_is_refused(call):
    with pytest.raises(BadFunction, match=r"takes \(input\) or \(input, context\)"):
        function("tests.bad")(call)

    assert "tests.bad" not in functions.registered()


def test_generators_are_refused():
    def rows(value):
        yield value

    async def more_rows(value):
        yield value

    for generator in (rows, more_rows):
        with pytest.raises(BadFunction, match="return a list"):
            function("tests.rows")(generator)


def test_something_that_is_not_a_function_is_refused():
    with pytest.raises(BadFunction, match="belongs on a function"):
        function("tests.number")(5)


def test_two_functions_cannot_share_a_name():
    function("tests.taken")(of_this_module)

    with pytest.raises(NameTaken, match=r"taken by .*of_this_module"):
        function("tests.taken")(lambda value: value)

    assert functions.get("tests.taken").call is of_this_module


def test_two_local_functions_of_one_place_still_clash():
    def make():
        def local(value):
            return value

        return local

    function("tests.local")(make())

    with pytest.raises(NameTaken):
        function("tests.local")(make())


def test_importing_a_module_again_replaces_its_functions():
    source = (
        "from roles.functions import function\n"
        '@function("tests.reloaded")\ndef reloaded(value): return value\n'
    )
    for _ in range(2):
        module = types.ModuleType("some_module")
        exec(source, module.__dict__)  # noqa: S102

    assert functions.get("tests.reloaded").call is module.reloaded


def test_an_unknown_name_points_to_the_nearest_one():
    function("tests.upper")(of_this_module)

    with pytest.raises(UnknownFunction, match=r"Did you mean 'tests\.upper'\?"):
        functions.get("tests.uper")


@pytest.mark.parametrize("name", [None, 5, "os.system", "builtins.eval"])
def test_a_name_is_never_an_import_path(name):
    with pytest.raises(UnknownFunction, match="There is no function named"):
        functions.get(name)


def test_the_registry_can_be_read_but_not_written():
    with pytest.raises(TypeError):
        functions.registered()["tests.x"] = None


def test_modules_register_their_functions(tmp_path, monkeypatch):
    (tmp_path / "shop_functions.py").write_text(
        "from roles.functions import function\n"
        '@function("shop.total")\ndef total(order): return 1\n'
    )
    monkeypatch.syspath_prepend(tmp_path)

    functions.load_modules(["shop_functions"])

    assert functions.get("shop.total").module == "shop_functions"
    del sys.modules["shop_functions"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [("1 / 0", "ZeroDivisionError"), ("import nowhere_at_all", "nowhere_at_all")],
)
def test_a_broken_module_is_named_with_its_setting(
    tmp_path, monkeypatch, source, reason
):
    (tmp_path / "broken_functions.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(FunctionModuleError) as caught:
        functions.load_modules(["broken_functions"])

    assert "CORE_FUNCTION_MODULES names 'broken_functions'" in str(caught.value)
    assert reason in str(caught.value)


def test_a_context_knows_how_much_time_is_left(attempt):
    def context(seconds):
        return FunctionContext(
            execution_id="e",
            step_key="s",
            attempt=1,
            idempotency_key="k",
            deadline=datetime.now(UTC) + timedelta(seconds=seconds),
            logger=attempt.logger,
        )

    assert 50 < context(60).remaining_s() <= 60
    assert context(-5).remaining_s() == 0

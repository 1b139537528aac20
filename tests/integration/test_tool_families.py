"""Functions, HTTP roles and orchestrations as tools, called as an agent calls them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from pydantic import BaseModel

from core_orchestration import drafts
from core_orchestration.models import Orchestration
from executions.models import Execution
from executions.tools import orchestrations as orchestration_tools
from roles import functions
from roles.functions import FunctionContext, FunctionFailed, function
from roles.models import Role
from roles.runners import http as http_runner
from roles.toolkit import Tool, ToolRefused, granted
from roles.tools import functions as function_tools
from tests.integration.calling import agent, call, codes, person, refusal, working
from tests.integration.engine import at_once, until
from tests.unit.roles.http_server import Server, running_server

pytest_plugins = ("tests.integration.stage",)
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "threads_keep_no_connection"),
]


class Order(TypedDict):
    item: str
    count: int


class Parcel(BaseModel):
    weight: int
    to: str = "here"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], str]:
    monkeypatch.setattr(functions, "_ENTRIES", dict(functions.registered()))

    def register(call: Callable[..., Any]) -> str:
        function(f"test.{call.__name__}")(call)
        return f"test.{call.__name__}"

    return register


def tools_of(*grants: str, user: User) -> dict[str, Tool]:
    return asyncio.run(granted(grants, person(user)))


def use(name: str, user: User, family: str = "function", **arguments: Any) -> Any:
    tool = f"{family}:{name}"
    return call(tool, agent(user), grants=[tool], **arguments)


def refused(name: str, user: User, family: str = "function", **arguments: Any) -> Any:
    tool = f"{family}:{name}"
    return refusal(tool, agent(user), grants=[tool], **arguments)


# --- functions ----------------------------------------------------------------------


def test_a_function_takes_its_input(ada: User) -> None:
    assert use("text.upper", ada, input="loud") == "LOUD"


def test_what_is_not_the_input_is_refused(ada: User) -> None:
    found = refused("text.upper", ada, text="loud")
    assert codes(found) == {"/text": "invalid_arguments"}


def test_an_annotated_function_tells_what_it_takes(ada: User, named: Any) -> None:
    def total(order: Order) -> int:
        """Count the pieces."""
        return len(order["item"]) * order["count"]

    name = named(total)
    tool = tools_of(f"function:{name}", user=ada)[f"function:{name}"]
    assert set(tool.schema["properties"]) == {"item", "count"}
    assert tool.description == "Count the pieces."
    assert use(name, ada, item="ab", count=3) == 6
    assert codes(refused(name, ada, item="ab", count="many")) == {
        "/count": "invalid_arguments"
    }


def test_a_function_gets_the_model_that_it_asks_for(ada: User, named: Any) -> None:
    async def send(parcel: Parcel) -> str:
        return f"{parcel.weight} to {parcel.to}"

    assert use(named(send), ada, weight=5) == "5 to here"


def test_a_simple_type_is_held_to(ada: User, named: Any) -> None:
    def double(n: int) -> int:
        return 2 * n

    name = named(double)
    tool = tools_of(f"function:{name}", user=ada)[f"function:{name}"]
    assert tool.schema["properties"]["input"]["type"] == "integer"
    assert use(name, ada, input=4) == 8
    assert codes(refused(name, ada, input="four")) == {"/input": "invalid_arguments"}
    assert codes(refused(name, ada)) == {"/input": "invalid_arguments"}


def test_a_function_learns_for_whom_it_works(ada: User, named: Any) -> None:
    def who(given: Any, context: FunctionContext) -> list[Any]:
        assert context.remaining_s() > 0
        return [context.execution_id, context.step_key, context.idempotency_key]

    caller = agent(ada, call_key="the call")
    name = named(who)
    told = call(f"function:{name}", caller, grants=[f"function:{name}"])
    assert told == [caller.actor.execution_id, "a", "the call"]


def test_a_plain_function_works_in_a_thread(ada: User, named: Any) -> None:
    def where(given: Any) -> str:
        return threading.current_thread().name

    assert use(named(where), ada).startswith("tools")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (FunctionFailed("No stock.", type="no_stock"), "no_stock", "No stock."),
        (ValueError("bad"), "function_failed", "ValueError: bad"),
    ],
)
def test_a_failure_is_told(
    ada: User, named: Any, error: Exception, code: str, said: str
) -> None:
    def fail(given: Any) -> None:
        raise error

    found = refused(named(fail), ada)
    assert (found.code, found.detail) == (code, said)


def test_what_is_no_json_is_refused(ada: User, named: Any) -> None:
    def odd(given: Any) -> Any:
        return object()

    assert refused(named(odd), ada).code == "not_json"


def test_a_function_that_takes_too_long_is_left(
    ada: User, named: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(given: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(function_tools, "TIME_S", 0.05)
    assert refused(named(forever), ada).code == "timeout"


def test_an_unknown_function_is_not_granted(ada: User) -> None:
    with pytest.raises(ToolRefused, match=r"Did you mean 'text\.upper'"):
        tools_of("function:text.uper", user=ada)


# --- http ---------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_runner, "_configuration", http_runner.Configuration())
    with running_server() as running:
        http_runner.configure(allowed_hosts=[f"127.0.0.1:{running.port}"])
        yield running


def mail(server: Server, **fields: Any) -> Role:
    config = {
        "method": "POST",
        "url": f"{server.url}/mail",
        "body": {"to": "{{ input.to }}"},
    }
    given = {"name": "Mail it", "kind": "http", "config": config, **fields}
    return Role.objects.create(**given)


TO = {
    "type": "object",
    "properties": {"to": {"type": "string"}},
    "required": ["to"],
}


def test_an_http_role_is_sent_what_the_agent_says(ada: User, server: Server) -> None:
    server.says("/mail", b'{"ok": true}', Content_Type="application/json")
    mail(server, input_schema=TO, created_by=ada)
    caller = agent(ada, call_key="the call")
    answer = call("http:Mail it", caller, grants=["http:Mail it"], to="bob")
    assert answer["body"] == {"ok": True}
    (seen,) = server.seen
    assert seen.body == b'{"to":"bob"}'
    assert seen.headers["idempotency-key"] == "the call"


def test_without_a_schema_everything_is_the_input(ada: User, server: Server) -> None:
    server.says("/mail")
    mail(server)
    assert use("Mail it", ada, "http", input={"to": "bob"})["status"] == 200


def test_arguments_that_do_not_fit_are_not_sent(ada: User, server: Server) -> None:
    mail(server, input_schema=TO)
    found = refused("Mail it", ada, "http", to=7)
    assert (found.code, list(codes(found))) == ("invalid_arguments", ["/to"])
    assert server.seen == []


def test_a_refusing_server_is_told_of(ada: User, server: Server) -> None:
    server.says("/mail", b"no", status=404)
    mail(server)
    found = refused("Mail it", ada, "http", input={"to": "bob"})
    assert "404" in found.detail


def test_a_secret_that_is_not_there_is_told_of(ada: User, server: Server) -> None:
    config = {
        "method": "GET",
        "url": f"{server.url}/mail",
        "headers": {"authorization": {"$secret": "gone"}},
    }
    mail(server, config=config)
    assert refused("Mail it", ada, "http").code == "secret_unknown"


@pytest.mark.parametrize("fields", [{"is_active": False}, {"kind": "agent"}])
def test_a_role_that_cannot_be_called_is_not_granted(
    ada: User, server: Server, fields: dict[str, Any]
) -> None:
    mail(server, **fields)
    with pytest.raises(ToolRefused, match="There is no active role of kind http"):
        tools_of("http:Mail it", user=ada)


def test_somebody_elses_role_is_not_granted(ada: User, server: Server) -> None:
    mail(server, created_by=User.objects.create_user("bob"))
    with pytest.raises(ToolRefused) as found:
        tools_of("http:Mail it", user=ada)
    assert found.value.code == "not_found"


# --- orchestrations -----------------------------------------------------------------


def flow(ada: User, **fields: Any) -> None:
    Role.objects.get_or_create(
        name="Shouter",
        defaults={"kind": "function", "config": {"function": "text.upper"}},
    )
    steps = [{"key": "s", "name": "S", "role_name": "Shouter"}]
    drafts.save({"name": "Tell all", "steps": steps, **fields}, by=ada)


def test_an_orchestration_is_a_tool_with_its_own_schema(ada: User) -> None:
    flow(ada, description="Tells everybody.", input_schema=TO)
    tool = tools_of("orchestration:Tell all", user=ada)["orchestration:Tell all"]
    assert tool.schema == TO
    assert tool.model_name == "orchestration_Tell_all"
    assert tool.description.startswith("Tells everybody.")


def test_what_takes_long_is_named_to_be_asked_for(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration_tools, "WAIT_MS", 50)
    flow(ada)
    home = working(ada)
    who = agent(ada, home)
    run = call("orchestration:Tell all", who, grants=["orchestration:Tell all"], n=1)
    assert run["status"] == "pending"
    child = Execution.objects.get(pk=run["execution_id"])
    assert (child.parent_execution_id, child.input) == (home.pk, {"n": 1})


def ended(home: Execution, status: str, **fields: Any) -> Callable[[], None]:
    """Return what ends the child of an execution once it is there."""

    def end() -> None:
        children = Execution.objects.filter(parent_execution=home)
        until(children.exists, "a child")
        children.update(status=status, finished_at=Now(), **fields)

    return end


def test_an_orchestration_returns_its_output(ada: User) -> None:
    flow(ada, output={"told": "{{ context.s }}"})
    home = working(ada)
    who = agent(ada, home)
    answer, _ = at_once(
        lambda: call("orchestration:Tell all", who, grants=["orchestration:Tell all"]),
        ended(home, "completed", output={"told": "ALL"}),
    )
    assert answer == {"told": "ALL"}


def test_an_orchestration_that_fails_is_told_of(ada: User) -> None:
    flow(ada)
    home = working(ada)
    error = {"step_key": "s", "type": "no_stock", "message": "None.", "attempt": 1}
    answer, _ = at_once(
        lambda: call(
            "orchestration:Tell all",
            agent(ada, home),
            grants=["orchestration:Tell all"],
        ),
        ended(home, "failed", error=error),
    )
    assert isinstance(answer, ToolRefused)
    assert (answer.code, "is failed: None." in answer.detail) == ("no_stock", True)


def test_waiting_for_an_execution_ends_with_it(ada: User) -> None:
    flow(ada, output="{{ context.s }}")
    home = working(ada)
    who = agent(ada, home, orchestrations=["*"])
    answer, _ = at_once(
        lambda: call(
            "system.execute_orchestration", who, name="Tell all", wait_ms=30_000
        ),
        ended(home, "completed", output="ALL"),
    )
    assert not isinstance(answer, Exception)
    assert (answer["status"], answer["output"]) == ("completed", "ALL")
    assert "error" not in answer


def test_an_orchestration_counts_among_the_executions(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration_tools, "WAIT_MS", 0)
    flow(ada)
    who = agent(ada, max_executions=0)
    found = refusal("orchestration:Tell all", who, grants=["orchestration:Tell all"])
    assert found.code == "limit_reached"


def test_arguments_that_do_not_fit_start_nothing(ada: User) -> None:
    flow(ada, input_schema=TO)
    found = refused("Tell all", ada, "orchestration", to=1)
    assert codes(found) == {"/input/to": "wrong_type"}


@pytest.mark.parametrize("fields", [{"is_active": False}, {"publish": False}])
def test_what_cannot_run_is_not_granted(ada: User, fields: dict[str, Any]) -> None:
    publish = fields.pop("publish", True)
    flow(ada, **fields)
    if not publish:
        Orchestration.objects.update(published=None)
    with pytest.raises(ToolRefused) as found:
        tools_of("orchestration:Tell all", user=ada)
    assert found.value.code == "not_runnable"

"""Steering executions from the command line, one or many."""

from __future__ import annotations

import getpass
import io
import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from executions.models import Event, Execution
from tests.integration.engine import now_of, run_at
from tests.integration.states import brought

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> str:
    """Run the command, and return what it printed if all was well."""
    printed = io.StringIO()
    call_command("control", *map(str, arguments), stdout=printed)
    return printed.getvalue().strip()


def refused(*arguments: Any) -> tuple[str, str]:
    """Run the command, and return what it printed and complained."""
    printed = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("control", *map(str, arguments), stdout=printed)
    assert caught.value.returncode == 1
    return printed.getvalue().strip(), str(caught.value)


@pytest.mark.parametrize(
    ("state", "verb", "status"),
    [
        ("between", "cancel", "cancelled"),
        ("claimed", "cancel", "running"),
        ("claimed", "terminate", "cancelled"),
        ("between", "pause", "paused"),
        ("paused", "resume", "running"),
        ("failed", "retry", "running"),
    ],
)
def test_a_verb_is_done_once(state: str, verb: str, status: str) -> None:
    execution = brought(state)
    assert run(verb, execution.pk, "--reason", "x") == f"{execution.pk}  done"
    assert now_of(execution).status == status
    assert run(verb, execution.pk) == f"{execution.pk}  unchanged"


def test_it_is_recorded_who_did_it_and_why() -> None:
    execution = brought("between")
    run("pause", execution.pk, "--reason", "lunch")
    event = Event.objects.filter(execution=execution, type="execution.paused").get()
    assert event.data == {"by": f"cli:{getpass.getuser()}", "reason": "lunch"}


def test_whoever_has_no_name_is_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    execution = brought("between")
    run("pause", execution.pk)
    event = Event.objects.filter(execution=execution, type="execution.paused").get()
    assert event.data is not None
    assert event.data["by"] == "cli"


def test_what_is_refused_is_said_and_the_others_are_done() -> None:
    completed, between = brought("completed"), brought("between")
    printed, complaint = refused("pause", completed.pk, between.pk)
    first, second, summary = printed.splitlines()
    assert first.startswith(f"{completed.pk}  refused  The execution is completed")
    assert second == f"{between.pk}  done"
    assert summary == "2 executions: 1 done, 0 unchanged, 1 refused."
    assert complaint == "1 of 2 refused."


def test_many_are_found_as_in_the_list() -> None:
    failed, between, paused = map(brought, ("failed", "between", "paused"))
    printed = run("pause", "--status", "running,paused")
    assert printed.splitlines() == [
        f"{between.pk}  done",
        f"{paused.pk}  unchanged",
        "2 executions: 1 done, 1 unchanged, 0 refused.",
    ]
    name = failed.orchestration.name
    assert run("retry", "--orchestration", name) == f"{failed.pk}  done"
    after = paused.created_at.isoformat()
    assert run("cancel", "--created-after", after) == f"{paused.pk}  done"
    before = between.created_at.isoformat()
    assert run("cancel", "--created-before", before) == f"{failed.pk}  done"
    assert run("cancel", "--search", between.pk) == f"{between.pk}  done"
    assert run("cancel", "--status", "waiting").startswith("0 executions")


def test_a_dry_run_lists_and_does_nothing() -> None:
    execution = brought("between")
    for which in ([execution.pk], ["--status", "running"]):
        printed = run("terminate", *which, "--dry-run")
        assert printed.splitlines()[0] == str(execution.pk)
        assert "nothing was done" in printed
    assert now_of(execution).status == "running"


# --- copies ---------------------------------------------------------------------------


def copy_of(execution: Execution) -> Execution:
    copy: Execution = Execution.objects.latest("pk")
    assert copy.pk != execution.pk
    return copy


def test_a_rerun_names_its_copy() -> None:
    execution = brought("completed", given={"n": 1})
    printed = run("rerun", execution.pk)
    copy = copy_of(execution)
    assert printed == f"{execution.pk}  done  as {copy.pk}"
    assert copy.input == {"n": 1}


def test_a_copy_may_have_another_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = brought("completed", given={"n": 1})
    run("rerun", execution.pk, "--input", '{"n": 2}', "--version", 1)
    assert copy_of(execution).input == {"n": 2}
    document = tmp_path / "input.json"
    document.write_text('{"n": 3}')
    run("rerun", execution.pk, "--input", f"@{document}")
    assert copy_of(execution).input == {"n": 3}
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"n": 4}'))
    run("fork", execution.pk, "--from-step", "a", "--input", "-")
    assert copy_of(execution).input == {"n": 4}


def test_a_fork_begins_where_it_is_told() -> None:
    execution = brought("failed")
    run("fork", execution.pk, "--from-step", "b")
    assert run_at(copy_of(execution), "a").status == "completed"


@pytest.mark.parametrize(
    "arguments", [("fork", "--from-step", "zzz"), ("rerun", "--version", "7")]
)
def test_what_cannot_be_copied_is_refused(arguments: tuple[str, ...]) -> None:
    verb, *options = arguments
    execution = brought("failed")
    printed, complaint = refused(verb, execution.pk, *options)
    assert printed.startswith(f"{execution.pk}  refused  ")
    assert complaint == "1 of 1 refused."
    assert Execution.objects.count() == 1


# --- steps that need attention --------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status", "output"),
    [
        (("complete", "--output", '{"n": 3}'), "completed", {"n": 3}),
        (("complete",), "completed", None),
        (("fail", "--reason", "It was not sent."), "failed", None),
    ],
)
def test_a_step_is_settled(options: tuple[str, ...], status: str, output: Any) -> None:
    execution = brought("aside")
    step = ("settle", execution.pk, "--step", "a", "--action")
    assert run(*step, *options) == f"{execution.pk}  done"
    assert (run_at(execution, "a").status, run_at(execution, "a").output) == (
        status,
        output,
    )


def test_a_step_that_is_not_there_is_refused() -> None:
    execution = brought("aside")
    step = ("settle", execution.pk, "--step", "zzz", "--action", "fail")
    printed, _ = refused(*step)
    assert "zzz" in printed


# --- what makes no sense --------------------------------------------------------------

ONE = "01a2034e-5eaa-76d4-9126-fd255801e199"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("cancel",), "Name executions by ID"),
        (("cancel", ONE, "--status", "failed"), "Name executions by ID"),
        (("cancel", "x"), "'x' is not an execution's id"),
        (("cancel", ONE), f"There is no execution {ONE}"),
        (("cancel", "--status", "canceled"), "--status: 'canceled' is none of"),
        (("cancel", "--status", ""), "at least one"),
        (("cancel", "--created-after", "yesterday"), "--created-after: "),
        (("stop", ONE), "invalid choice"),
        (("cancel", ONE, "--input", "{}"), "cancel takes no --input"),
        (("rerun", ONE, "--reason", "x"), "rerun takes no --reason"),
        (("fork", ONE), "fork needs --from-step"),
        (("fork", "--status", "failed", "--from-step", "a"), "fork takes one ID"),
        (("settle", ONE, "--action", "fail"), "settle needs --step"),
        (("settle", ONE, "--step", "a"), "settle needs --action"),
        (
            ("settle", ONE, "--step", "a", "--action", "fail", "--output", "1"),
            "Only --action complete",
        ),
        (("rerun", ONE, "--version", "one"), "--version"),
    ],
)
def test_what_makes_no_sense_is_said_plainly(
    arguments: tuple[str, ...], complaint: str
) -> None:
    execution = brought("between")
    assert complaint in refused(*arguments)[1]
    assert now_of(execution).status == "running"


def test_an_unknown_id_stops_all_before_anything_is_done() -> None:
    execution, unknown = brought("between"), uuid4()
    assert str(unknown) in refused("cancel", execution.pk, unknown)[1]
    assert now_of(execution).status == "running"


@pytest.mark.parametrize("given", ["{", "@/nowhere", '{"n": NaN}', "[" * 100_000])
def test_json_that_is_none_is_refused(given: str) -> None:
    execution = brought("aside")
    said = refused("rerun", execution.pk, "--input", given)
    assert any(word in " ".join(said) for word in ("JSON", "NaN", "finite"))
    step = ("settle", execution.pk, "--step", "a", "--action", "complete")
    assert "--output" in refused(*step, "--output", given)[1]
    assert run_at(execution, "a").status == "needs_attention"
    assert Execution.objects.count() == 1


def test_an_output_is_kept_as_it_was_given() -> None:
    execution = brought("aside")
    output = {"text": "ä", "list": [1, None, True]}
    step = ("settle", execution.pk, "--step", "a", "--action", "complete")
    run(*step, "--output", json.dumps(output))
    assert run_at(execution, "a").output == output

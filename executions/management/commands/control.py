"""`manage.py control VERB [ID ...]`: steer executions from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, get_args
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions import attention, bulk, copies
from executions.bulk import Came, Item, Order
from executions.copies import UNCHANGED
from executions.management.arguments import (
    JSON_HELP,
    JSON_METAVAR,
    operator,
    read_id,
    read_json,
)
from executions.models import Execution
from executions.rest.filters import narrow
from roles.management.operators import ByOperator
from roles.problems import InvalidDocument
from roles.storable import storable_problems

CRITERIA = ("status", "orchestration", "created_after", "created_before", "search")
SETTLE_ACTIONS: tuple[str, ...] = get_args(attention.Action)
# What each verb is told besides which executions; those marked are needed.
TAKES: Mapping[str, Mapping[str, bool]] = {
    **{verb: {"reason": False} for verb in bulk.CONTROLS},
    "rerun": {"input": False, "version": False},
    "fork": {"from_step": True, "input": False, "version": False},
    "settle": {"step": True, "action": True, "output": False, "reason": False},
}
OPTIONS = sorted({name for taken in TAKES.values() for name in taken})


class Command(ByOperator, BaseCommand):
    help = "Cancel, terminate, pause, resume, retry, rerun, fork or settle executions."

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        """Let --version be the orchestration's; Django's own is at `manage.py`."""
        return super().create_parser(*args, **options, conflict_handler="resolve")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=TAKES)
        parser.add_argument("ids", nargs="*", metavar="ID")
        parser.add_argument(
            "--dry-run", action="store_true", help="only list what would be meant"
        )
        _add_criteria(parser.add_argument_group("which executions, if not by ID"))
        _add_details(parser.add_argument_group("how"))

    def handle(self, *args: Any, **options: Any) -> None:
        verb: str = options["verb"]
        _check_options(verb, options)
        ids = _chosen(verb, options)
        if options["dry_run"]:
            for execution_id in ids:
                self.stdout.write(str(execution_id))
            self.stdout.write(f"{len(ids)} would be meant; nothing was done.")
            return
        self._tell(_done(verb, ids, options))

    def _tell(self, items: Iterable[Item]) -> None:
        """Print a line per execution as it is done, then a summary."""
        counts: Counter[Came] = Counter()
        for item in items:
            counts[item.came] += 1
            more = item.detail or (f"as {item.made}" if item.made else "")
            self.stdout.write(f"{item.id}  {item.came}  {more}".rstrip())
        total = counts.total()
        if total != 1:
            told = ", ".join(f"{counts[came]} {came}" for came in Came)
            self.stdout.write(f"{total} executions: {told}.")
        if counts[Came.REFUSED]:
            raise CommandError(
                f"{counts[Came.REFUSED]} of {total} refused.", returncode=1
            )


def _add_criteria(parser: Any) -> None:
    for name in CRITERIA:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, metavar="TEXT", help="as in the API's list")


def _add_details(parser: ArgumentParser | Any) -> None:
    parser.add_argument("--reason", metavar="TEXT", help="why; it is recorded")
    parser.add_argument("--from-step", metavar="KEY", help="where a fork begins")
    parser.add_argument(
        "--input", metavar=JSON_METAVAR, help=f"a copy's other input, {JSON_HELP}"
    )
    parser.add_argument(
        "--version", type=int, metavar="N", help="a copy's other version"
    )
    parser.add_argument("--step", metavar="PATH", help="the step to settle")
    parser.add_argument(
        "--action", choices=SETTLE_ACTIONS, help="what becomes of the step"
    )
    parser.add_argument(
        "--output", metavar=JSON_METAVAR, help=f"its output, {JSON_HELP}"
    )


def _check_options(verb: str, options: Mapping[str, Any]) -> None:
    takes = TAKES[verb]
    for name in OPTIONS:
        option = f"--{name.replace('_', '-')}"
        if options[name] is not None and name not in takes:
            raise CommandError(f"{verb} takes no {option}.")
        if options[name] is None and takes.get(name):
            raise CommandError(f"{verb} needs {option}.")
    if options["output"] is not None and options["action"] != "complete":
        raise CommandError("Only --action complete takes an --output.")


def _chosen(verb: str, options: Mapping[str, Any]) -> list[UUID]:
    """Return the ids that are meant, the oldest first if they are not named."""
    given = [read_id(text) for text in options["ids"]]
    criteria = {name: options[name] for name in CRITERIA if options[name] is not None}
    if bool(given) == bool(criteria):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in CRITERIA)
        raise CommandError(f"Name executions by ID or by some of {names}.")
    if verb not in bulk.VERBS and len(given) != 1:
        raise CommandError(f"{verb} takes one ID.")
    return _existing(given) if given else _narrowed(criteria)


def _existing(given: list[UUID]) -> list[UUID]:
    ids = list(dict.fromkeys(given))
    found = set(Execution.objects.filter(pk__in=ids).values_list("pk", flat=True))
    for execution_id in ids:
        if execution_id not in found:
            raise CommandError(f"There is no execution {execution_id}.")
    return ids


def _narrowed(criteria: Mapping[str, str]) -> list[UUID]:
    try:
        return list(bulk.oldest(narrow(Execution.objects.all(), criteria)))
    except InvalidDocument as invalid:
        problem = invalid.problems[0]
        option = problem.pointer.removeprefix("/").replace("_", "-")
        place = f"--{option}: " if option else ""
        raise CommandError(f"{place}{problem.detail}") from invalid


def _done(verb: str, ids: list[UUID], options: Mapping[str, Any]) -> Iterable[Item]:
    """Do it, now or as the items are taken."""
    if verb == "settle":
        return [_settled(ids[0], options)]
    given = options["input"]
    changes = {
        "input": UNCHANGED if given is None else read_json(given),
        "version": options["version"],
    }
    if verb == "fork":
        return [_forked(ids[0], options["from_step"], changes)]
    order = Order(verb=verb, by=operator(), reason=options["reason"], **changes)
    return bulk.each(order, ids)


def _forked(execution_id: UUID, step: str, changes: Mapping[str, Any]) -> Item:
    execution = Execution.objects.get(pk=execution_id)
    try:
        made = copies.fork(execution, from_step=step, by=None, **changes)
    except bulk.REFUSALS as refused:
        return bulk.refusal(execution_id, refused)
    return Item(id=execution_id, came=Came.DONE, made=made.pk)


def _settled(execution_id: UUID, options: Mapping[str, Any]) -> Item:
    given = options["output"]
    output = None if given is None else read_json(given, "--output")
    if problems := storable_problems(output, "/output"):
        raise CommandError(f"--output cannot be stored: {problems[0].detail}")
    try:
        did = attention.settle_step(
            execution_id,
            options["step"],
            by=operator(),
            action=options["action"],
            output=output,
            reason=options["reason"],
        )
    except bulk.REFUSALS as refused:
        return bulk.refusal(execution_id, refused)
    return Item(id=execution_id, came=Came.DONE if did else Came.UNCHANGED)

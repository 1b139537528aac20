"""`manage.py run_orchestration NAME_OR_ID`: run one from the command line."""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from core_orchestration.models import Orchestration
from executions import record
from executions.launch import InvalidInput, NotRunnable, launch
from executions.management.arguments import JSON_HELP, JSON_METAVAR, read_json
from executions.models import Execution
from executions.states import TERMINAL_EXECUTION, ExecutionStatus

WAIT_S = 300.0
POLL_S = 0.2


class Command(BaseCommand):
    help = "Run an orchestration; with --wait, print what became of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("orchestration", metavar="NAME_OR_ID")
        parser.add_argument(
            "--input",
            default="{}",
            metavar=JSON_METAVAR,
            help=f"the input {JSON_HELP}",
        )
        parser.add_argument(
            "--wait",
            nargs="?",
            type=_seconds,
            const=WAIT_S,
            metavar="SECONDS",
            help=f"wait for the end, {WAIT_S:.0f} seconds unless told otherwise",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        orchestration = find(options["orchestration"])
        try:
            execution = launch(orchestration, read_json(options["input"]))
        except (NotRunnable, InvalidInput) as refused:
            raise CommandError(str(refused)) from refused
        if options["wait"] is None:
            self.stdout.write(str(execution.pk))
            return
        ended = wait(execution.pk, options["wait"], time.monotonic)
        detail = record.detail(ended)
        self.stdout.write(
            json.dumps(detail, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
        )
        if ended.status != ExecutionStatus.COMPLETED:
            raise CommandError(f"The execution is {ended.status}.", returncode=1)


def find(name_or_id: str) -> Orchestration:
    """Find an orchestration by its id, or else by its name."""
    current = Orchestration.objects.filter(archived_at=None)
    try:
        found = current.filter(pk=UUID(name_or_id)).first()
    except ValueError:
        found = current.filter(name=name_or_id).first()
    if not isinstance(found, Orchestration):
        raise CommandError(f"There is no orchestration {name_or_id!r}.")
    return found


def wait(execution_id: UUID, seconds: float, clock: Callable[[], float]) -> Execution:
    """Look at the record until the execution has ended, or the time is up."""
    end = clock() + seconds
    while True:
        execution = Execution.objects.get(pk=execution_id)
        if execution.status in TERMINAL_EXECUTION or clock() >= end:
            return execution
        time.sleep(POLL_S)  # noqa: TID251  (a person's command line, not a worker)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ArgumentTypeError("give a number of seconds")
    return seconds

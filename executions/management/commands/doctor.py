"""Say what is well and what is not, and what to do about it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder

from executions.diagnosis import Finding, diagnose


class Command(BaseCommand):
    help = (
        "Examine the servers, the settings, the workers and the queues, and list the "
        "oldest executions that do not move. Exits 1 if something has to be done."
    )
    # Whatever is missing is a finding.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        well = self._as_json() if json else self._as_lines()
        if not well:
            raise SystemExit(1)

    def _as_lines(self) -> bool:
        well = True
        for finding in diagnose():
            well = well and finding.ok
            self.stdout.writelines(f"{line}\n" for line in lines_of(finding))
        return well

    def _as_json(self) -> bool:
        findings = list(diagnose())
        well = all(finding.ok for finding in findings)
        report = {"ok": well, "findings": [asdict(finding) for finding in findings]}
        self.stdout.write(json.dumps(report, cls=DjangoJSONEncoder))
        return well


def lines_of(finding: Finding) -> Iterable[str]:
    """Write a finding as people read it."""
    yield f"{'ok' if finding.ok else '!!'}  {finding.name:<11} {finding.what}"
    if finding.cure:
        yield f"    {'':<11} {finding.cure}"

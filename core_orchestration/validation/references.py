"""References that can never resolve, found before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core_orchestration.language import (
    Reading,
    Reference,
    read_condition,
    read_template,
)
from roles.problems import quoted

from .report import Report
from .sequence import Timetable, timetable
from .steps import BODY_TYPES, Placed

ROOTS = frozenset({"context", "output"})
BODY_ROOTS = ROOTS | {"item", "loop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a reference stands: the step, its block, and what it can see there."""

    step: Placed | None
    block: int
    roots: frozenset[str] = ROOTS
    has_output: bool = True


def check_references(
    steps: tuple[Placed, ...],
    output: Any,
    input_schema: Mapping[str, Any] | None,
    report: Report,
) -> None:
    """Report faulty templates and conditions, and references that cannot resolve."""
    checker = _Checker(timetable(steps), input_schema, report)
    checker.check_all()
    checker.check(
        read_template(output),
        "/output",
        _Place(step=None, block=checker.table.blocks),
    )


class _Checker:
    """Looks references up in the timetable of one document."""

    def __init__(
        self,
        table: Timetable,
        input_schema: Mapping[str, Any] | None,
        report: Report,
    ) -> None:
        self.table = table
        self.report = report
        self._input_schema = input_schema
        self._nested = {
            id(inner)
            for step, _ in table.starts
            if step.step_type in BODY_TYPES
            for inner in step.body
        }

    def check_all(self) -> None:
        for step, block in self.table.starts:
            roots = BODY_ROOTS if id(step) in self._nested else ROOTS
            before = _Place(step=step, block=block, roots=roots, has_output=block > 0)
            after = _Place(step=step, block=block, roots=roots)
            for name, place in (("input_mapping", before), ("output_mapping", after)):
                value = step.get(name)
                if value is not None:
                    self.check(read_template(value), step.at(name), place)
            condition = step.get("condition")
            if condition is not None:
                self.check(read_condition(condition), step.at("condition"), before)

    def check(self, reading: Reading, pointer: str, place: _Place) -> None:
        self.report.extend(reading.problems, pointer)
        for below, reference in reading.references:
            fault = self._fault(reference, place)
            if fault is not None:
                self.report.add(pointer + below, *fault)

    def _fault(self, reference: Reference, place: _Place) -> tuple[str, str] | None:
        """Say why a reference can never resolve: a code and a sentence."""
        if reference.root not in place.roots:
            return self._unknown_root(reference, place)
        if reference.optional:
            return None
        if reference.root == "output" and not place.has_output:
            return "no_previous_output", (
                "There is no output before the first step; read context.input, or "
                "write output | default(...)."
            )
        if reference.root != "context" or not reference.path:
            return None
        return self._context_fault(reference, place)

    def _unknown_root(
        self, reference: Reference, place: _Place
    ) -> tuple[str, str] | None:
        root = reference.root
        if root in self.table.made:
            hint = f" Did you mean 'context.{root}'?"
        else:
            hint = self.report.suggest(root, place.roots)
        return "unknown_reference", (
            f"{quoted(reference)} starts with {quoted(root)}, which is not there.{hint} "
            f"Templates read {' and '.join(sorted(place.roots))}; a name with other "
            'characters than letters, digits and _ is written context["the-name"].'
        )

    def _context_fault(
        self, reference: Reference, place: _Place
    ) -> tuple[str, str] | None:
        name = str(reference.path[0])
        if name == "input":
            return self._input_fault(reference)
        if name == "errors":
            return self._errors_fault(reference, place)
        return self._timing_fault(name, reference, place)

    def _timing_fault(
        self, name: str, reference: Reference, place: _Place
    ) -> tuple[str, str] | None:
        made = self.table.made.get(name)
        if made is None:
            hint = self.report.suggest(name, self.table.made)
            return "unknown_reference", (
                f"{quoted(reference)} can never resolve: no step has the key "
                f"{quoted(name)}, and no output_mapping writes it.{hint}"
            )
        if made < place.block:
            return None
        if place.step is not None and name == place.step.key:
            return "self_reference", (
                f"{quoted(reference)} is the step's own output, which is not there "
                "yet; its output_mapping reads it as output."
            )
        if made == place.block:
            return "sibling_reference", (
                f"{quoted(reference)} is made in the same block, whose steps run at "
                "the same time; read it in a later step."
            )
        return "forward_reference", (
            f"{quoted(reference)} is only made by a later step; move that step before "
            "this one."
        )

    def _errors_fault(
        self, reference: Reference, place: _Place
    ) -> tuple[str, str] | None:
        if len(reference.path) == 1:
            return None
        name = str(reference.path[1])
        step = self.table.steps.get(name)
        if step is None:
            hint = self.report.suggest(name, self.table.steps)
            return "unknown_reference", (
                f"{quoted(reference)} can never resolve: no step has the key "
                f"{quoted(name)}.{hint}"
            )
        if step.get("on_error", "fail") == "fail":
            return "unknown_reference", (
                f"{quoted(reference)} can never resolve: an error of {quoted(name)} "
                'ends the execution; give that step "on_error": "continue".'
            )
        return self._timing_fault(name, reference, place)

    def _input_fault(self, reference: Reference) -> tuple[str, str] | None:
        schema: Any = self._input_schema
        for place, segment in enumerate(reference.path[1:], start=1):
            known = _closed_fields(schema)
            if known is None:
                return None
            if str(segment) not in known:
                hint = self.report.suggest(str(segment), known)
                owner = Reference(reference.root, reference.path[:place])
                return "unknown_reference", (
                    f"{quoted(reference)} can never resolve: the input_schema allows "
                    f"no {quoted(segment)} in {owner}.{hint}"
                )
            schema = known[str(segment)]
        return None


def _closed_fields(schema: Any) -> Mapping[str, Any] | None:
    """Return the only fields that an object of this schema can have, if it says so."""
    if (
        not isinstance(schema, Mapping)
        or schema.get("additionalProperties") is not False
    ):
        return None
    known = schema.get("properties", {})
    if schema.get("patternProperties") or not isinstance(known, Mapping):
        return None
    return known

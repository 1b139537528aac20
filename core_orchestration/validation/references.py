"""References that can never resolve, found before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core_orchestration.language import Reading, Reference, read_template
from roles.problems import quoted

from .faults import (
    Fault,
    inside_another,
    made_after_failure,
    not_inside,
    only_after_failure,
    only_within,
    too_early,
)
from .placed import Lists
from .readings import readings
from .report import Report
from .scopes import HOME_OF_ROOT, Place, Timetable, timetable

# What is inside the values whose names are all known.
_LOOP_NAMES = ("index", "last")
_EVENT_NAMES = ("payload", "name")
_FAILURE_NAMES = ("step_key", "type", "message", "attempt")


def check_references(
    lists: Lists,
    output: Any,
    input_schema: Mapping[str, Any] | None,
    report: Report,
) -> None:
    """Report faulty templates and conditions, and references that cannot resolve."""
    checker = _Checker(timetable(lists), input_schema, report)
    checker.check_all()
    end = checker.table.end_of(checker.table.top)
    checker.check(read_template(output), "/output", end)


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

    def check_all(self) -> None:
        for start in self.table.starts:
            if start.step is not None:
                for at, reading, place in readings(start.step, start, self.table):
                    self.check(reading, at, place)

    def check(self, reading: Reading, pointer: str, place: Place) -> None:
        self.report.extend(reading.problems, pointer)
        for below, reference in reading.references:
            fault = self._fault(reference, place)
            if fault is not None:
                self.report.add(pointer + below, *fault)

    def _fault(self, reference: Reference, place: Place) -> Fault | None:
        """Say why a reference can never resolve."""
        if reference.root not in place.roots:
            return self._unknown_root(reference, place)
        if reference.optional:
            return None
        if reference.root == "output" and not place.has_output:
            return "no_previous_output", (
                "There is no output before the first step; read context.input, or "
                "write output | default(...)."
            )
        if reference.root == "loop":
            return self._inside(reference, 0, "loop", _LOOP_NAMES)
        if reference.root == "event":
            return self._inside(reference, 0, "event", _EVENT_NAMES)
        if reference.root != "context" or not reference.path:
            return None
        return self._context_fault(reference, place)

    def _unknown_root(self, reference: Reference, place: Place) -> Fault:
        root = reference.root
        if root in HOME_OF_ROOT:
            return only_within(reference, root)
        if root in self.table.makers:
            hint = f" Did you mean 'context.{root}'?"
        elif root == "event":
            hint = " An event is only there in the match of a wait step."
        else:
            hint = self.report.suggest(root, place.roots)
        return "unknown_reference", (
            f"{quoted(reference)} starts with {quoted(root)}, which is not there.{hint} "
            f"Templates read {' and '.join(sorted(place.roots))}; a name with other "
            'characters than letters, digits and _ is written context["the-name"].'
        )

    def _inside(
        self, reference: Reference, place: int, whole: str, names: tuple[str, ...]
    ) -> Fault | None:
        """Look at what follows `whole`, which is at this place of the path."""
        if len(reference.path) <= place or reference.path[place] in names:
            return None
        name = reference.path[place]
        hint = self.report.suggest(str(name), names)
        return "unknown_reference", not_inside(reference, whole, names, name) + hint

    def _context_fault(self, reference: Reference, place: Place) -> Fault | None:
        name = str(reference.path[0])
        if name == "input":
            return self._input_fault(reference)
        if name == "errors":
            return self._errors_fault(reference, place)
        if name == "failure":
            if not self.table.is_last(place.body):
                return only_after_failure(reference)
            return self._inside(reference, 1, "context.failure", _FAILURE_NAMES)
        if name in HOME_OF_ROOT:
            if name not in place.roots:
                return only_within(reference, name)
            within = name == "loop"
            return self._inside(reference, 1, name, _LOOP_NAMES) if within else None
        return self._timing_fault(name, reference, place)

    def _timing_fault(
        self, name: str, reference: Reference, place: Place
    ) -> Fault | None:
        if name in place.also:
            return None
        late: Place | None = None
        for level in place.levels():
            made = level.body.made.get(name)
            if made is not None and made < level.block:
                return None
            if made is not None and late is None:
                late = level
        if late is not None:
            return too_early(name, reference, late, place)
        maker = self.table.makers.get(name)
        if maker is not None:
            if self.table.is_last(maker) and not self.table.is_last(place.body):
                return made_after_failure(reference)
            return inside_another(reference, place, maker)
        hint = self.report.suggest(name, self.table.makers)
        return "unknown_reference", (
            f"{quoted(reference)} can never resolve: no step has the key "
            f"{quoted(name)}, and no output_mapping writes it.{hint}"
        )

    def _errors_fault(self, reference: Reference, place: Place) -> Fault | None:
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
        fault = self._timing_fault(name, reference, place)
        never_read = step.get("on_error", "fail") == "fail"
        if never_read and (fault is None or fault[0] != "inner_reference"):
            return "unknown_reference", (
                f"{quoted(reference)} can never resolve: an error of {quoted(name)} "
                "ends the execution, or the run of the body that the step is in; give "
                'that step "on_error": "continue".'
            )
        return fault

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

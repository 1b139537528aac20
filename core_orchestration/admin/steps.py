"""An orchestration's steps as rows of its form, checked together as one document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.forms.formsets import DELETION_FIELD_NAME
from django.forms.models import BaseInlineFormSet

from core_orchestration import drafts
from core_orchestration.admin.entries import (
    Entry,
    lists,
    located,
    tree,
    with_bodies,
)
from core_orchestration.definition import STEP_FIELDS
from core_orchestration.models import OrchestrationStep
from core_orchestration.validation import SUPPORTED
from roles.admin import refusals
from roles.admin.readable import JSON_FIELDS
from roles.problems import Problem

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from core_orchestration.models import Orchestration

    StepModelForm = forms.ModelForm[OrchestrationStep]
    StepFormSet = BaseInlineFormSet[OrchestrationStep, Orchestration, StepModelForm]
    StepsInline = admin.StackedInline[OrchestrationStep, Orchestration]
else:
    StepModelForm, StepFormSet = forms.ModelForm, BaseInlineFormSet
    StepsInline = admin.StackedInline

SPELLED = {"role_id": "role", "steps": "inside"}
DEFAULTS = {"description": "", "config": {}}
COLUMNS = tuple(name for name in STEP_FIELDS if name not in {"role_id", "steps"})
HELP_TEXTS = {
    "branch": "For a step right inside a branch step, or inside a parallel step that "
    "has steps: the branch that it belongs to. Left empty, it is one by itself, of the "
    "name of its key.",
    "milestone": "The key of another step: this one runs only while that one has not "
    "begun, and is skipped otherwise.",
    "compensate": "What undoes the step when a later one fails, such as "
    '{"role_name": "Refunder", "input_mapping": "{{ output.id }}"}.',
    "config": "What a step that no role does has to know, such as "
    '{"max_iterations": 5} for a loop or {"duration_ms": 60000} for a wait. Patterns '
    'name their roles here, such as {"voter": "Reader", "samples": 5} for a vote.',
    "on_failure": "The step belongs to those that run when the execution fails. What "
    "is inside of it goes with it.",
    "timeout_ms": "The time of one attempt.",
    "total_timeout_ms": "The time of all attempts together, from the start of the "
    "first, waits between them included. Left empty, there is no limit.",
    "queue_timeout_ms": "How long the step may wait for a worker, from when it was "
    "its turn. Left empty, there is no limit.",
    "at_most_once": "After a crash the step is not run again by itself but stops in "
    "needs_attention until a person settles it.",
}


class EditedStep(StepModelForm):
    """One step's form; what it means is checked with the whole definition."""

    step_type = forms.ChoiceField(
        choices=[(each, each) for each in SUPPORTED], initial="sequential"
    )
    inside = forms.CharField(
        required=False,
        empty_value=None,
        help_text="The key of the loop, map, branch or parallel step whose body this "
        "one belongs to. Left empty, it belongs to none.",
    )

    class Meta:
        model = OrchestrationStep
        fields = (*COLUMNS, "role", "on_failure")
        help_texts: ClassVar[Any] = HELP_TEXTS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.parent is not None:
            self.initial["inside"] = self.instance.parent.key
        if self.instance._state.adding:
            self.initial["order"] = None
        self.fields["key"].required = False
        self.fields["key"].help_text = "Left empty, it is made of the name."
        self.fields["order"].required = False

    def entry(self) -> Entry:
        cleaned = refusals.completed(self.cleaned_data, DEFAULTS)
        step = {name: cleaned[name] for name in COLUMNS}
        if step["key"] is None:
            del step["key"]
        role = cleaned["role"]
        step["role_id"] = str(role.pk) if role else None
        return Entry(
            form=self,
            step=step,
            inside=cleaned["inside"],
            on_failure=cleaned["on_failure"],
        )

    def validate_unique(self) -> None:
        """Leave it to the definition's check, which knows the other rows as entered."""

    validate_constraints = validate_unique


class EditedSteps(StepFormSet):
    """All steps' forms; together with the orchestration's form they are a document."""

    def __init__(self, *args: Any, by: User, whole: Any, **options: Any) -> None:
        self._shown: list[OrchestrationStep] | None = None
        super().__init__(*args, **options)
        self._by = by
        self._whole = whole

    def clean(self) -> None:
        """Check the whole document, and put each problem at the field it is about."""
        if any(self.errors) or self._whole().errors:
            return
        top, lost = tree(self._entered())
        for entry in lost:
            entry.form.add_error("inside", "There is no such step to be inside of.")
        if not lost and self._are_on_one_side(top):
            self._check(top)

    def _are_on_one_side(self, top: list[Entry]) -> bool:
        """Refuse to have one of `on_failure` inside a step; tell whether none is."""
        split = [each for entry in top for each in entry.inner() if each.on_failure]
        for entry in split:
            refused = (
                "A step inside of another goes where that one goes; mark the outermost."
            )
            entry.form.add_error("on_failure", refused)
        return not split

    def validate_unique(self) -> None:
        """Leave it to the definition's check."""

    def get_queryset(self) -> Any:
        """Show each step right before those of its body."""
        if self._shown is None:
            self._shown = with_bodies(super().get_queryset())
        return self._shown

    def document(self) -> dict[str, Any]:
        """Write the orchestration as it was entered, steps and all."""
        return self._written(tree(self._entered())[0])

    def _written(self, top: list[Entry]) -> dict[str, Any]:
        steps = {
            name: [entry.document() for entry in entries]
            for name, entries in lists(top).items()
        }
        return {**self._whole().document(), **steps}

    def _entered(self) -> list[Entry]:
        return [
            form.entry()
            for form in self.forms
            if isinstance(form, EditedStep)
            if form.has_changed() or not form.instance._state.adding
            if not form.cleaned_data.get(DELETION_FIELD_NAME)
        ]

    def _check(self, top: list[Entry]) -> None:
        document = self._written(top)
        edited = None if self.instance._state.adding else self.instance
        remarks = []
        for problem in drafts.problems_of(document, by=self._by, orchestration=edited):
            remarks += self._refuse(top, problem)
        if remarks:
            raise forms.ValidationError(remarks)

    def _refuse(self, top: list[Entry], problem: Problem) -> list[str]:
        """Show one problem; return what is to be said above the steps about it."""
        entry, rest = located(top, problem.pointer)
        if entry is not None:
            below = Problem(rest, problem.code, problem.detail)
            refusals.show(entry.form, [below], spelled=SPELLED)
            return []
        if problem.pointer.startswith(("/steps", "/on_failure")):
            return [problem.detail]
        refusals.show(self._whole(), [problem])
        return ["The steps cannot be saved before the problem above is solved."]


class StepInline(StepsInline):
    model = OrchestrationStep
    form = EditedStep
    formset = EditedSteps
    formfield_overrides = JSON_FIELDS
    ordering = ("order", "id")
    autocomplete_fields = ("role",)
    verbose_name = "step"
    extra = 0
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("order", "name", "key"),
                    ("step_type", "parallel_group"),
                    ("role", "role_name"),
                    ("inside", "branch"),
                    ("milestone", "on_failure"),
                )
            },
        ),
        (
            "Data",
            {"fields": ("condition", "input_mapping", "output_mapping", "config")},
        ),
        (
            "When it fails",
            {
                "classes": ("collapse",),
                "fields": (
                    ("on_error", "timeout_ms", "max_retries"),
                    ("retry_delay_ms", "retry_backoff"),
                    ("retry_max_delay_ms", "retry_jitter"),
                    ("total_timeout_ms", "queue_timeout_ms"),
                    "at_most_once",
                    "compensate",
                ),
            },
        ),
        ("More", {"classes": ("collapse",), "fields": ("description",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrchestrationStep]:
        return super().get_queryset(request).select_related("parent")

"""Query parameters that need a closer look: several words, truth values, times."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django_filters import Filter, IsoDateTimeFilter
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from roles.problems import did_you_mean, quoted

__all__ = ["FilterSet", "MomentFilter", "TruthFilter", "WordsFilter"]


class WordsWidget(forms.TextInput):
    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        parts = ",".join(data.getlist(name)).split(",")
        return [part.strip() for part in parts if part.strip()]


class WordsField(forms.Field):
    """A list of words; with `known`, only of those."""

    widget = WordsWidget

    def __init__(self, *, known: Collection[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self.known = known

    def validate(self, value: list[str]) -> None:
        super().validate(value)
        for word in value:
            ProhibitNullCharactersValidator()(word)
            if self.known and word not in self.known:
                hint = did_you_mean(word, self.known)
                raise forms.ValidationError(
                    f"{quoted(word)} is none of {', '.join(self.known)}.{hint}",
                    code="unknown_value",
                )


@extend_schema_field(OpenApiTypes.STR)
class WordsFilter(Filter):
    """Narrows by a list of words with the lookup or method that it is given."""

    field_class = WordsField


class MomentField(IsoDateTimeField):
    """A time of any zone, in UTC: PostgreSQL does not know all that Python takes."""

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        try:
            return moment.astimezone(UTC) if moment else None
        except OverflowError:
            detail = "This lies outside of the calendar."
            raise forms.ValidationError(detail, "invalid") from None


class MomentFilter(IsoDateTimeFilter):
    """Narrows by a time."""

    field_class = MomentField


class TruthField(forms.Field):
    """`true` or `false`; anything else is refused, not passed over."""

    def to_python(self, value: Any) -> bool | None:
        if not value:
            return None
        try:
            return _TRUTHS[str(value).lower()]
        except KeyError:
            raise forms.ValidationError("Write true or false.", "invalid") from None


@extend_schema_field(OpenApiTypes.BOOL)
class TruthFilter(Filter):
    """Narrows by a truth value."""

    field_class = TruthField


_TRUTHS = {"true": True, "1": True, "false": False, "0": False}

"""JSON as people read and write it: indented, checked, nothing mangled."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.utils.html import format_html
from django.utils.safestring import SafeString

from roles.storable import storable_problems

MAX_SHOWN = 20_000  # characters of one value on a page


class _Decoder(json.JSONDecoder):
    """Reads JSON without the constants that only Python knows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"parse_constant": _refuse})

    def decode(self, text: str, *args: Any) -> Any:
        try:
            return super().decode(text, *args)
        except (ValueError, RecursionError) as error:  # too long a number, too deep
            raise json.JSONDecodeError(str(error), "", 0) from error


class JSONTextarea(forms.Textarea):
    """A text area as high as its text, in a typewriter's letters."""

    class Media:
        css = {"all": ["roles/admin.css"]}

    def __init__(self) -> None:
        super().__init__({"class": "core-json", "cols": 90, "spellcheck": "false"})

    def get_context(
        self, name: str, value: Any, attrs: dict[str, Any] | None
    ) -> dict[str, Any]:
        lines = str(value or "").count("\n") + 1
        return super().get_context(
            name, value, {"rows": min(max(lines, 2), 30), **(attrs or {})}
        )


class ReadableJSONField(forms.JSONField):
    """A field whose null is an empty text area and whose value is indented."""

    widget = JSONTextarea

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"decoder": _Decoder, "widget": JSONTextarea()})

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Show what was typed as it was typed."""
        return None if data is None else InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> str:
        if isinstance(value, InvalidJSONInput):
            return value
        return "" if value is None else as_json(value)

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        if problems := storable_problems(found):
            raise ValidationError(
                [_placed(each.pointer, each.detail) for each in problems]
            )
        return found


JSON_FIELDS: dict[type[models.Field[Any, Any]], dict[str, Any]] = {
    models.JSONField: {"form_class": ReadableJSONField}
}


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def shown(value: Any) -> SafeString:
    """Write a value into the page, escaped; what is very long is cut."""
    text = value if isinstance(value, str) else as_json(value)
    if len(text) <= MAX_SHOWN:
        return format_html('<pre class="core-json">{}</pre>', text)
    return format_html(
        '<pre class="core-json">{}</pre><p class="help">The first {} of {} characters; '
        "the API has them all.</p>",
        text[:MAX_SHOWN],
        MAX_SHOWN,
        len(text),
    )


def _placed(pointer: str, detail: str) -> str:
    return f"{pointer}: {detail}" if pointer else detail


def _refuse(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not JSON", constant, 0)

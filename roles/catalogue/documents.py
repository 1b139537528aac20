"""A model of the catalogue as people write it, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import httpx
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from roles.models import LanguageModel
from roles.problems import Problem, child, did_you_mean, kind_of
from roles.runners.constraints import Word
from roles.runners.model_names import DEMO
from roles.storable import storable_problems

READ_ONLY = frozenset({"id", "name", "edited", "created_at", "updated_at"})


def _provider(name: str) -> str:
    if name == DEMO:
        raise ValueError("The demo's models are always there.")
    return name


def _address(text: str) -> str:
    """Take what a provider's library can use as the beginning of its addresses."""
    if not text:
        return text
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"This is no address: {error}.") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("Write an address such as `https://models.example/v1`.")
    if url.userinfo:
        raise ValueError("Put the password into a secret, and name it as credential.")
    return text


Tokens = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
Price = Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=6)]


class ModelDocument(BaseModel):
    """A model; prices are in USD for a million tokens, null is what nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Annotated[Word, AfterValidator(_provider)]
    model: Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=130)]
    api: Literal["openai", "openai-responses", "anthropic", "google"]
    base_url: Annotated[str, AfterValidator(_address), Field(max_length=2000)] = ""
    credential: str = Field("", max_length=100)
    context_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    input_price: Price | None = None
    cached_input_price: Price | None = None
    output_price: Price | None = None
    capabilities: Annotated[tuple[Word, ...], Field(max_length=40)] | None = None
    tier: Literal["", "fast", "balanced", "best"] = ""
    quality: Annotated[int, Field(ge=0, le=100, strict=True)] | None = None
    is_deprecated: bool = Field(False, strict=True)
    is_active: bool = Field(True, strict=True)

    @property
    def name(self) -> str:
        return f"{self.provider}:{self.model}"

    def values(self) -> dict[str, Any]:
        """Return the fields as the table keeps them."""
        found = self.model_dump()
        if self.capabilities is not None:
            found["capabilities"] = sorted(set(self.capabilities))
        return found


FIELDS = tuple(ModelDocument.model_fields)


def document_of(row: LanguageModel) -> dict[str, Any]:
    """Write a model as the document that would make it again."""
    return spelled({field: getattr(row, field) for field in FIELDS})


def spelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Write prices as JSON has them: as text, of which no digit is lost."""
    return {
        field: f"{value:f}" if isinstance(value, Decimal) else value
        for field, value in values.items()
    }


def read(document: Any) -> tuple[ModelDocument | None, list[Problem]]:
    """Read a document, or list everything that is wrong with it."""
    if not isinstance(document, Mapping):
        detail = f"A model is an object, not {kind_of(document)}."
        return None, [Problem("", "wrong_type", detail)]
    if unstorable := storable_problems(document):
        return None, unstorable
    given = {key: value for key, value in document.items() if key not in READ_ONLY}
    try:
        return ModelDocument.model_validate(given), []
    except ValidationError as error:
        return None, [_problem(each) for each in error.errors()]


def _problem(error: Any) -> Problem:
    place = child("", *(each for each in error["loc"] if isinstance(each, int | str)))
    kind = error["type"]
    if kind == "missing":
        return Problem("", "required", f"A model needs a {error['loc'][-1]}.")
    if kind == "extra_forbidden":
        hint = did_you_mean(str(error["loc"][0]), FIELDS)
        return Problem(place, "unknown_field", f"A model has no such field.{hint}")
    if kind == "value_error":
        return Problem(place, "invalid", str(error["ctx"]["error"]))
    code = "wrong_type" if kind.endswith("_type") else "invalid"
    return Problem(place, code, f"{error['msg']}.")

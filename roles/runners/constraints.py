"""
Which models a role may ask: the meaning of its `model_constraints`.

`{}` leaves it to the installation; `model` or `pinned` names the one model, and
everything else narrows the catalogue. `roles.catalogue` chooses by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from roles.problems import child, did_you_mean
from roles.runners.model_names import name_fault

Tier = Literal["fast", "balanced", "best"]
Optimise = Literal["price", "quality", "context"]
MOST_NAMES = 100


def _model_name(name: str) -> str:
    """Refuse what names no model; blanks around a name are forgiven."""
    name = name.strip()
    if fault := name_fault(name):
        raise ValueError(fault)
    return name


ModelName = Annotated[str, AfterValidator(_model_name), Field(max_length=200)]
Names = Annotated[tuple[ModelName, ...], Field(max_length=MOST_NAMES)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_./-]*$", max_length=60)]
Words = Annotated[tuple[Word, ...], Field(max_length=MOST_NAMES)]
Price = Annotated[Decimal, Field(ge=0, lt=10**8, allow_inf_nan=False)]


class Constraints(BaseModel):
    """
    What a role asks of its model; prices are in USD for a million tokens.

    A `pinned` model is asked whatever it can do or costs, and no other in its place.
    `preferred` ones come first, in this order, if they fit the rest. `tier` is how
    much a model can do by its provider's own ladder: `fast`, `balanced` or `best`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pinned: ModelName | None = None
    preferred: Names = ()
    providers: Words = ()
    exclude: Names = ()
    capabilities: Words = ()
    min_context_tokens: int | None = Field(None, ge=1, lt=2**31, strict=True)
    max_input_price: Price | None = None
    max_output_price: Price | None = None
    tier: Tier | None = None
    optimise: Optimise = "price"
    allow_fallback: bool = Field(True, strict=True)
    max_fallbacks: int = Field(3, ge=0, le=20, strict=True)

    @model_validator(mode="after")
    def _contradicts_nothing(self) -> Constraints:
        if self.pinned in self.exclude:
            raise ValueError("The pinned model is among those to exclude.")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The models that are asked for by their names."""
        return self.preferred if self.pinned is None else (self.pinned,)

    @property
    def leaves_it_open(self) -> bool:
        """Whether nothing is asked for, so that the installation's model is meant."""
        return self == NOTHING_ASKED


NOTHING_ASKED = Constraints()
_SYNONYM = "model"
_FIELDS = (_SYNONYM, *Constraints.model_fields)
_SENTENCES = {
    "extra_forbidden": "There is no such constraint.",
    "string_type": "This must be text.",
    "tuple_type": "This must be a list.",
    "int_type": "This must be a whole number.",
    "bool_type": "This must be true or false.",
    "decimal_type": "This must be a number.",
    "string_pattern_mismatch": "Write it in small letters, such as `openai`.",
}


def parse(given: Mapping[str, Any]) -> Constraints:
    """Read a role's `model_constraints`; raises pydantic's ValidationError."""
    return Constraints.model_validate(_spelled(given))


def constraint_problems(
    given: Mapping[str, Any], pointer: str = "/model_constraints"
) -> list[tuple[str, str]]:
    """List what is wrong with `model_constraints`: JSON pointers and sentences."""
    found = []
    both = given.get(_SYNONYM), given.get("pinned")
    if None not in both and both[0] != both[1]:
        detail = "`model` and `pinned` mean the same; give one of them."
        found.append((child(pointer, _SYNONYM), detail))
    try:
        parse(given)
    except ValidationError as error:
        found += [_problem(each, given, pointer) for each in error.errors()]
    return found


def _spelled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Take `model` for what it is, and a null for what is left out."""
    kept = {key: value for key, value in given.items() if value is not None}
    pinned = kept.pop(_SYNONYM, None)
    return kept if pinned is None else {**kept, "pinned": kept.get("pinned", pinned)}


def _problem(error: Any, given: Mapping[str, Any], pointer: str) -> tuple[str, str]:
    place = list(error["loc"])
    if place and place[0] == "pinned" and given.get("pinned") is None:
        place[0] = _SYNONYM
    return child(pointer, *place), _sentence(error, place)


def _sentence(error: Any, place: list[str | int]) -> str:
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if place and place[0] in {_SYNONYM, "pinned"}:
        return "Name the model as `provider:name`."
    if kind == "extra_forbidden":
        return f"{_SENTENCES[kind]}{did_you_mean(str(place[-1]), _FIELDS)}"
    return _SENTENCES.get(kind, f"{error['msg']}.")

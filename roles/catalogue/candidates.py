"""Models as the choice knows them: facts, and what keeps this process from asking."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from roles.runners.model_names import DEMO, DEMO_FLAVOURS

# The variables that providers' own libraries read, by the language they speak.
KEYS: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "openai-responses": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
# How a model is asked that only its name is known of; "" leaves it to pydantic-ai.
_APIS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "demo": "demo",
    "google": "google",
    "openai": "openai-responses",
    "openai-chat": "openai",
    "openai-responses": "openai-responses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    A model of the catalogue; what is not known of it is None.

    `missing` says what this process lacks to ask it, such as a variable.
    """

    name: str  # provider:model
    provider: str
    model: str
    api: str
    base_url: str = ""
    credential_name: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    input_price: Decimal | None = None
    cached_input_price: Decimal | None = None
    output_price: Decimal | None = None
    capabilities: frozenset[str] | None = None
    tier: str = ""
    quality: int | None = None
    is_deprecated: bool = False
    is_active: bool = True
    missing: str = ""

    @property
    def is_demo(self) -> bool:
        return self.provider == DEMO

    @property
    def blended_price(self) -> Decimal | None:
        return blended(self.input_price, self.output_price)


def blended(given: Decimal | None, answered: Decimal | None) -> Decimal | None:
    """Weigh two prices as agents use tokens: three go in for one that comes out."""
    if given is None or answered is None:
        return None
    return (3 * given + answered) / 4


def named(name: str) -> Candidate:
    """Make do with a name that the catalogue does not know."""
    provider, _, model = name.partition(":")
    api = _APIS.get(provider, "")
    return Candidate(
        name=name, provider=provider, model=model, api=api, missing=missing_key(api)
    )


def demo_models() -> list[Candidate]:
    """Return the models that need no network: free, and good for trying things out."""
    return [
        Candidate(
            name=f"{DEMO}:{flavour}",
            provider=DEMO,
            model=flavour,
            api=DEMO,
            context_tokens=1_000_000,
            input_price=Decimal(0),
            cached_input_price=Decimal(0),
            output_price=Decimal(0),
            capabilities=frozenset({"structured_output"}),
            quality=0,
        )
        for flavour in DEMO_FLAVOURS
    ]


def missing_key(api: str, *, base_url: str = "") -> str:
    """
    Say which variable is missing to speak `api`.

    An endpoint of one's own that speaks as OpenAI does may do without a key.
    """
    keys = KEYS.get(api, ())
    is_own = bool(base_url) and api.startswith("openai")
    if is_own or not keys or any(os.environ.get(key) for key in keys):
        return ""
    return f"the environment variable {' or '.join(keys)} is not set"

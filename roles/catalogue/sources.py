"""
What is known of models without asking anybody: prices, contexts and capabilities.

From the data that genai-prices and pydantic-ai carry with them. Where prices have tiers
the base is taken. Three things are rules of ours, and free to be edited:

- `tier` and `quality` follow the price: a provider asks more for what can do more. Of
  the models that pydantic-ai names as current the cheapest third is `fast`, the dearest
  `best`; the others are where their price would put them. Quality is the place on this
  ladder: from 51 to 100 for current models, up to 50 for the others.
- Families in `ENDED` are deprecated, whose end their providers announced.
- Families in `SEEING` take images; the profiles do not say.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

from roles.catalogue.candidates import blended

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

APIS: Mapping[str, str] = {
    "openai": "openai-responses",
    "anthropic": "anthropic",
    "google": "google",
}
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "openai": ("gpt-", "o1", "o3", "o4"),
    "anthropic": ("claude-",),
    "google": ("gemini-",),
}
# Words in the names of models for other things than conversations, or not for everybody.
OTHER_WORK = frozenset(
    [
        "audio",
        "banana",
        "chat",
        "computer",
        "cyber",
        "discovery",
        "embedding",
        "ft",
        "image",
        "instruct",
        "latest",
        "live",
        "omni",
        "oss",
        "realtime",
        "research",
        "robotics",
        "rosalind",
        "search",
        "streaming",
        "transcribe",
        "translate",
        "tts",
        "vision",
        "whisper",
    ]
)
ENDED = (
    "claude-v1",
    "claude-2",
    "claude-3-",
    "gpt-3.5",
    "gpt-4-",
    "gpt-4.5-",
    "gpt-4o-2024",
    "o1-",
    "gemini-1",
    "gemini-pro",
    "gemini-flash-1",
    "gemini-2.0",
)
SEEING = (
    "claude-3-",
    "claude-haiku-",
    "claude-opus-",
    "claude-sonnet-",
    "gpt-4.1",
    "gpt-4o",
    "gpt-5",
    "gemini-",
)
TIERS = ("fast", "balanced", "best")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model as the catalogue is seeded with it."""

    name: str
    provider: str
    model: str
    api: str
    context_tokens: int | None
    input_price: Decimal | None
    cached_input_price: Decimal | None
    output_price: Decimal | None
    capabilities: Sequence[str] | None
    is_deprecated: bool
    tier: str = ""
    quality: int | None = None


def entries(now: datetime | None = None) -> list[Entry]:
    """Return all models that are known; of the prices those that hold at `now`."""
    from genai_prices.data_snapshot import get_snapshot

    now, current = now or datetime.now(UTC), _current()
    found = {each.id: each.models for each in get_snapshot().providers}
    return [
        entry
        for provider in APIS
        for entry in graded(
            [
                _entry(provider, info, now)
                for info in found.get(provider, ())
                if is_conversational(provider, info.id)
            ],
            current,
        )
    ]


def is_conversational(provider: str, model: str) -> bool:
    """Tell by its name whether a model is for conversations, and its provider's own."""
    name = model.removesuffix("-latest")
    if ":" in name or not name.startswith(FAMILIES[provider]):
        return False  # spelled as somebody else offers it
    return OTHER_WORK.isdisjoint(re.split(r"[-.]", name))


def graded(models: Sequence[Entry], current: Container[str]) -> Iterator[Entry]:
    """Give one provider's models their tier and quality, by price."""
    gradable = [each for each in models if _is_gradable(each)]
    of_today = [each for each in gradable if each.name in current]
    ladder = sorted({_price(each) for each in of_today or gradable})
    for each in models:
        if not _is_gradable(each):
            yield each
            continue
        place = min(bisect_left(ladder, _price(each)), len(ladder) - 1)
        yield replace(
            each,
            tier=TIERS[place * len(TIERS) // len(ladder)],
            quality=round(50 * (place + 1) / len(ladder))
            + (50 if each.name in current else 0),
        )


def _current() -> frozenset[str]:
    """Name the models of today: older ones are left out of pydantic-ai's own list."""
    from pydantic_ai.models import KnownModelName

    return frozenset(get_args(KnownModelName.__value__))


def _is_gradable(entry: Entry) -> bool:
    known = entry.input_price is not None and entry.output_price is not None
    return known and not entry.is_deprecated


def _price(entry: Entry) -> Decimal:
    return blended(entry.input_price, entry.output_price) or Decimal(0)


def _entry(provider: str, info: ModelInfo, now: datetime) -> Entry:
    prices: Any = info.get_prices(now) if info.prices else None
    return Entry(
        name=f"{provider}:{info.id}",
        provider=provider,
        model=info.id,
        api=APIS[provider],
        context_tokens=info.context_window,
        input_price=_base(prices, "input_mtok"),
        cached_input_price=_base(prices, "cache_read_mtok"),
        output_price=_base(prices, "output_mtok"),
        capabilities=_capabilities(provider, info.id),
        is_deprecated=bool(info.deprecated) or info.id.startswith(ENDED),
    )


def _base(prices: Any, key: str) -> Decimal | None:
    """Return a price, or the first tier's, or None."""
    price = getattr(prices, key, None)
    found: Decimal | None = getattr(price, "base", price)
    return found


def _capabilities(provider: str, model: str) -> Sequence[str] | None:
    profile = _profiles()[provider](model)
    if profile is None:
        return None
    found = {
        "tools": profile.get("supports_tools", True),
        "structured_output": profile.get("supports_json_schema_output", False),
        "reasoning": profile.get("supports_thinking", False),
        "vision": model.startswith(SEEING),
    }
    return tuple(sorted(name for name, has in found.items() if has))


def _profiles() -> Mapping[str, Callable[[str], Any]]:
    from pydantic_ai.profiles.anthropic import anthropic_model_profile
    from pydantic_ai.profiles.google import google_model_profile
    from pydantic_ai.profiles.openai import openai_model_profile

    return {
        "anthropic": anthropic_model_profile,
        "google": google_model_profile,
        "openai": openai_model_profile,
    }

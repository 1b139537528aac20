"""How language models, choices among them and breakers look from outside."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from roles.models import Breaker, LanguageModel, ModelChoice


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A model of one's own",
            value={
                "provider": "inhouse",
                "model": "llama-70b",
                "api": "openai",
                "base_url": "https://models.example/v1",
                "credential": "inhouse-key",
                "context_tokens": 128000,
                "input_price": "0.20",
                "output_price": "0.60",
                "capabilities": ["tools", "structured_output"],
                "tier": "balanced",
            },
            request_only=True,
        )
    ]
)
class LanguageModelSerializer(serializers.ModelSerializer[LanguageModel]):
    """A model; prices are in USD for a million tokens, null is what nobody knows."""

    name = serializers.CharField(read_only=True, help_text="`provider:model`")
    edited = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Fields that somebody edited: seeding leaves them alone.",
    )

    class Meta:
        model = LanguageModel
        fields: ClassVar[Any] = (
            "id",
            "name",
            "provider",
            "model",
            "api",
            "base_url",
            "credential",
            "context_tokens",
            "max_output_tokens",
            "input_price",
            "cached_input_price",
            "output_price",
            "capabilities",
            "tier",
            "quality",
            "is_deprecated",
            "is_active",
            "edited",
            "created_at",
            "updated_at",
        )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "The cheapest that calls tools",
            value={
                "model_constraints": {"max_input_price": 3, "optimise": "price"},
                "needs_tools": True,
            },
            request_only=True,
        )
    ]
)
class QuestionSerializer(serializers.Serializer[Any]):
    """The parts of a role that its model depends on."""

    model_constraints = serializers.DictField(required=False)
    needs_tools = serializers.BooleanField(required=False)
    output_schema = serializers.DictField(required=False, allow_null=True)


class ChoiceSerializer(serializers.Serializer[Any]):
    """Why one model was chosen, and the others were not."""

    chosen = serializers.CharField(allow_null=True)
    fallbacks = serializers.ListField(child=serializers.CharField())
    why = serializers.CharField()
    rejected = serializers.DictField(
        child=serializers.CharField(), help_text="The reason for each other model."
    )
    model_constraints = serializers.DictField()
    needs = serializers.DictField()
    default = serializers.CharField(help_text="The installation's own model.")


class ModelChoiceSerializer(serializers.ModelSerializer[ModelChoice]):
    """A choice that was made; steps and spending lead here by its digest."""

    choice = serializers.SerializerMethodField()

    class Meta:
        model = ModelChoice
        fields: ClassVar[Any] = ("digest", "choice", "created_at")

    @extend_schema_field(ChoiceSerializer)
    def get_choice(self, row: ModelChoice) -> Any:
        return row.body


class BreakerSerializer(serializers.ModelSerializer[Breaker]):
    """A provider's model, asked with one credential, that is left alone for now."""

    class Meta:
        model = Breaker
        fields: ClassVar[Any] = (
            "key",
            "open_until",
            "reason",
            "failures",
            "probe_until",
            "updated_at",
        )

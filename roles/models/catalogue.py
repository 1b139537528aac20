"""Which language models there are, why one was chosen, and which to leave alone."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7


class LanguageModel(models.Model):
    """
    A model of a provider; what is not known of it is NULL, and fails a constraint.

    Prices are in USD for a million tokens. A model behind an endpoint that speaks the
    language of `api` has its `base_url`, and `credential` names the secret for it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)  # provider:model
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=200)
    api = models.CharField(max_length=20)  # openai, openai-responses, anthropic, google
    base_url = models.CharField(max_length=2000, blank=True, default="")
    credential = models.CharField(max_length=100, blank=True, default="")
    context_tokens = models.PositiveIntegerField(null=True, blank=True)
    max_output_tokens = models.PositiveIntegerField(null=True, blank=True)
    input_price = models.DecimalField(
        max_digits=14, decimal_places=6, null=True, blank=True
    )
    cached_input_price = models.DecimalField(
        max_digits=14, decimal_places=6, null=True, blank=True
    )
    output_price = models.DecimalField(
        max_digits=14, decimal_places=6, null=True, blank=True
    )
    # Such as tools, structured_output, vision, reasoning; NULL where nobody knows.
    capabilities = ArrayField(models.CharField(max_length=40), null=True, blank=True)
    tier = models.CharField(max_length=20, blank=True, default="")
    quality = models.PositiveSmallIntegerField(null=True, blank=True)  # 0 to 100
    is_deprecated = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    # Names of the fields that somebody edited: seeding again leaves them alone.
    edited = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class ModelChoice(models.Model):
    """Why one model was chosen and the others were not: a row per distinct answer."""

    digest = models.CharField(max_length=64, primary_key=True, editable=False)
    body = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at", "digest")

    def __str__(self) -> str:
        return f"{self.body.get('chosen')} ({self.digest[:8]})"


class Breaker(models.Model):
    """
    A provider's model, asked with one credential, that is to be left alone for now.

    From `open_until` on one call is let through at a time, until `probe_until` at the
    latest; its success removes the row.
    """

    key = models.CharField(max_length=300, primary_key=True)
    open_until = models.DateTimeField()
    reason = models.CharField(max_length=500)
    failures = models.PositiveIntegerField(default=1)
    probe_until = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("key",)

    def __str__(self) -> str:
        return self.key

"""The one way in which entries leave: by age, a batch at a time, and on record."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from roles.models import AuditEntry

BATCH = 5_000


def older(before: datetime) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(at__lt=before)


@transaction.atomic
def remove_batch(before: datetime) -> int:
    """Remove some of the oldest; those that this leaves are removed by the next call."""
    ids = list(older(before).order_by("id").values_list("id", flat=True)[:BATCH])
    return AuditEntry.objects.filter(id__in=ids).delete()[0]

"""What agents cost, and what they may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from core_orchestration.models import Orchestration
from executions.models.executions import Execution
from roles.models import ApiKey, Owned, Role

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

SCOPES = ("role", "orchestration", "execution", "api_key")
PERIODS = ("total", "day", "month")


class Spending(models.Model):
    """
    One call of a model, whatever became of its attempt; it outlives its execution.

    `cost` is in USD, NULL where the price is not known. The tokens read from a cache
    are among `input_tokens`, those of the reasoning among `output_tokens`.
    """

    id = models.BigAutoField(primary_key=True)
    # What is put on record once more, after a reply that was lost, changes nothing.
    call_id = models.UUIDField(unique=True, default=uuid7)
    at = models.DateTimeField(db_default=Now())
    execution_id = models.UUIDField()
    step_run_id = models.UUIDField()
    path = models.CharField(max_length=4000)
    attempt = models.PositiveIntegerField()
    orchestration_id = models.UUIDField(null=True)
    role_id = models.UUIDField(null=True)
    role_name = models.CharField(max_length=200, default="")
    api_key_id = models.UUIDField(null=True)
    created_by_id = models.IntegerField(null=True)
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=200)
    choice = models.CharField(max_length=64, default="")  # a ModelChoice's digest
    requests = models.PositiveIntegerField(default=1)
    tool_calls = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "spending"
        indexes = (
            models.Index(fields=["execution_id", "id"], name="spending_of_execution"),
            # Reports: by day, of everybody or of an owner.
            models.Index(fields=["at"], name="spending_by_time"),
            models.Index(fields=["created_by_id", "at"], name="spending_of_owner"),
        )

    def __str__(self) -> str:
        return f"{self.model} for {self.path}"


class BudgetQuerySet(models.QuerySet["Budget"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Staff see all; others what they made, and what limits what is theirs."""
        if getattr(user, "is_staff", False):
            return self
        theirs: dict[str, models.QuerySet[Any]] = {
            "role": Role.objects.filter(created_by=user.pk),
            "orchestration": Orchestration.objects.filter(created_by=user.pk),
            "execution": Execution.objects.filter(created_by=user.pk),
            "api_key": ApiKey.objects.filter(user=user.pk),
        }
        wanted = Q(created_by=user.pk)
        for scope, rows in theirs.items():
            ids = rows.order_by().values("pk")
            wanted |= Q(scope=scope, scope_id__in=ids)
        return self.filter(wanted)

    def editable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Staff change all, others what they made: nobody lifts what limits them."""
        if getattr(user, "is_staff", False):
            return self
        return self.filter(created_by=user.pk)


class Budget(Owned):
    """
    What may be spent in a scope, in a period; a limit that is NULL does not count.

    `scope_id` is the role's, orchestration's, execution's or API key's. With
    `per_execution` each execution, with those below it, has that much for itself.
    At `soft_percent` of a limit there is an event and, if `on_soft` is "cheaper", a
    cheaper model; at the limit the execution waits for more, or fails.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    scope = models.CharField(max_length=16, choices=[(each, each) for each in SCOPES])
    scope_id = models.UUIDField()
    period = models.CharField(
        max_length=8, choices=[(each, each) for each in PERIODS], default="total"
    )
    per_execution = models.BooleanField(default=False)
    money = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)
    tokens = models.PositiveBigIntegerField(null=True, blank=True)
    requests = models.PositiveBigIntegerField(null=True, blank=True)
    soft_percent = models.PositiveSmallIntegerField(default=80)
    on_soft = models.CharField(
        max_length=8,
        choices=[("event", "event"), ("cheaper", "cheaper")],
        default="event",
    )
    on_hard = models.CharField(
        max_length=8, choices=[("wait", "wait"), ("fail", "fail")], default="wait"
    )
    is_active = models.BooleanField(default=True)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ("scope", "scope_id", "period", "id")
        constraints = (
            models.UniqueConstraint(
                fields=["scope", "scope_id", "period", "per_execution"],
                name="budget_unique",
            ),
            models.CheckConstraint(
                condition=Q(money__isnull=False)
                | Q(tokens__isnull=False)
                | Q(requests__isnull=False),
                name="budget_limits_something",
            ),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.scope_id} ({self.period})"


class BudgetAccount(models.Model):
    """What was spent of a budget: in one period, and of one execution if it is per it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    budget = models.ForeignKey(
        Budget, on_delete=models.CASCADE, related_name="accounts"
    )
    period_start = models.DateField(null=True)  # NULL for the whole of time
    execution_id = models.UUIDField(null=True)
    money = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    requests = models.PositiveBigIntegerField(default=0)
    soft_told_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["budget", "period_start", "execution_id"],
                name="budget_account_unique",
                nulls_distinct=False,
            ),
        )

    def __str__(self) -> str:
        return f"{self.budget_id} since {self.period_start or 'ever'}"


class Reservation(models.Model):
    """
    What a call under way may come to, of one account; gone once it is settled.

    `money` is NULL where the model's price is not known.
    """

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        BudgetAccount, on_delete=models.CASCADE, related_name="reservations"
    )
    call_id = models.UUIDField()
    step_run_id = models.UUIDField()
    fence = models.PositiveIntegerField()
    money = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    tokens = models.PositiveBigIntegerField(default=0)
    requests = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=["call_id"], name="reservation_of_call"),
            models.Index(fields=["step_run_id"], name="reservation_of_step"),
            models.Index(fields=["expires_at"], name="reservation_expiry"),
        )

    def __str__(self) -> str:
        return str(self.call_id)

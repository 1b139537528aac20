"""Makes the Celery application known to every process that sets Django up."""

from __future__ import annotations

from django.apps import AppConfig


class WiringConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import celery  # noqa: F401  (needs the settings first)
        from executions import tasks  # noqa: F401  (whoever sends stamps like a worker)

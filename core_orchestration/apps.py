from __future__ import annotations

from django.apps import AppConfig


class CoreOrchestrationConfig(AppConfig):
    name = "core_orchestration"
    verbose_name = "Orchestrations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell `roles` who knows which orchestrations use a role; register tools."""
        from core_orchestration import tools  # noqa: F401  (they register themselves)
        from core_orchestration.usage import orchestrations_using
        from roles.usage import register_finder

        register_finder("orchestration", orchestrations_using)

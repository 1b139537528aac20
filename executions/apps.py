from __future__ import annotations

from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "executions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell `roles` which executions somebody may see; register tools."""
        from executions import tools
        from executions.models import Execution
        from roles.audit.visibility import register_executions

        register_executions(
            lambda user: Execution.objects.visible_to(user).values("pk")
        )
        tools.register()

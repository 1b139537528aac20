from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules


class RolesConfig(AppConfig):
    name = "roles"
    verbose_name = "Roles and keys"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hand the settings to the runners, and collect everybody's functions."""
        from roles import builtins, functions
        from roles.builtins import csv_text
        from roles.runners import agent, http
        from roles.secrets import checks  # noqa: F401  (registers itself)
        from roles.servers import family as servers
        from roles.tools import register as register_tools

        agent.configure(default_model=settings.CORE_MODEL)
        csv_text.configure(data_dir=settings.CORE_DATA_DIR)
        http.configure(allowed_hosts=settings.CORE_HTTP_ALLOWED_HOSTS)
        functions.load_modules([builtins.__name__])
        autodiscover_modules("functions")
        functions.load_modules(settings.CORE_FUNCTION_MODULES)
        register_tools()
        servers.register()

"""The web process's entry: Django under ASGI."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()

# Django calls these in a thread before each request. Under ASGI every request has a
# thread of its own, in which nothing of an earlier one is left to close or to forget.
for tidy in (reset_queries, close_old_connections):
    request_started.disconnect(tidy)

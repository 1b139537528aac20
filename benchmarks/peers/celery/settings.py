"""The least that django-celery-results needs."""

from __future__ import annotations

import os
from urllib.parse import parse_qs, urlsplit

DATABASE = urlsplit(os.environ["BENCH_DATABASE_URL"])

SECRET_KEY = "a benchmark has no secrets"  # noqa: S105
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_results"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE.path.strip("/"),
        "USER": DATABASE.username,
        "HOST": parse_qs(DATABASE.query)["host"][0],
        "CONN_MAX_AGE": 600,
    }
}

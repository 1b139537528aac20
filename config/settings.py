"""Every setting, read from the environment; `.env.example` lists the variables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from environs import env, validate

from config.databases import database, replica
from config.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
env.read_env(BASE_DIR / ".env", recurse=False)

# --- Django ---------------------------------------------------------------------

DEBUG = env.bool("CORE_DEBUG", False)
SECRET_KEY = env.str("CORE_SECRET_KEY")
# They seal stored secrets, the newest first; see roles/secrets/cipher.py.
CORE_ENCRYPTION_KEYS: list[str] = env.list("CORE_ENCRYPTION_KEYS", [])
ALLOWED_HOSTS = env.list("CORE_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CORE_CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_celery_results",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config",
    "roles",
    "core_orchestration",
    "executions",
    *env.list("CORE_INSTALLED_APPS", []),
]
MIDDLEWARE = [
    "config.middleware.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "config.middleware.SessionMiddleware",
    "config.middleware.CommonMiddleware",
    "config.middleware.CsrfViewMiddleware",
    "config.middleware.AuthenticationMiddleware",
    "config.middleware.ActorMiddleware",
    "config.middleware.MessageMiddleware",
    "config.middleware.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / ".data" / "static"
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = False
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# `check --deploy` looks for Django's own names in MIDDLEWARE; ours are their subclasses.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("CORE_SECURE_COOKIES", False)
# The admin's page of an orchestration posts some twenty fields for each step.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 50_000
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("CORE_MAX_BODY_BYTES", 5 * 1024 * 1024)

# --- PostgreSQL: the record -----------------------------------------------------

# A pool serves the web's and the io workers' many threads; prefork children keep
# one connection each, because a pool's threads would not outlive the fork.
DB_POOL_SIZE = env.int("CORE_DB_POOL_SIZE", 0)
DATABASES = {"default": database(env.dj_db_url("DATABASE_URL"), pool=DB_POOL_SIZE)}
# Lists are read from it if there is one: see roles/replicas.py.
if env.str("DATABASE_REPLICA_URL", ""):
    DATABASES["replica"] = replica(
        env.dj_db_url("DATABASE_REPLICA_URL"), pool=DB_POOL_SIZE
    )

# --- Valkey or Redis and Celery: the order ---------------------------------------

REDIS_URL = env.str("REDIS_URL")


def broker_address(url: str) -> str:
    """Spell a redis-py socket URL (`unix://`) the way that kombu reads it."""
    if not url.startswith("unix://"):
        return url
    path, _, query = url.removeprefix("unix://").partition("?")
    database = query.partition("db=")[2].partition("&")[0] or "0"
    return f"redis+socket://{path}?virtual_host={database}"


CELERY_BROKER_URL = broker_address(REDIS_URL)
CELERY_RESULT_BACKEND = "executions.joins:RecordBackend"

# --- API ------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "roles.rest.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["roles.rest.parsers.StrictJsonParser"],
    "DEFAULT_PAGINATION_CLASS": "roles.rest.pages.NewestFirst",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "roles.rest.problems.problem_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "C.O.R.E. Orchestration",
    "DESCRIPTION": "Durable multi-step workflows of AI agents, HTTP calls and "
    "Python functions.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- C.O.R.E. -------------------------------------------------------------------

CORE_FUNCTION_MODULES: list[str] = env.list("CORE_FUNCTION_MODULES", [])
CORE_HTTP_ALLOWED_HOSTS: list[str] = env.list("CORE_HTTP_ALLOWED_HOSTS", [])
CORE_MODEL = env.str("CORE_MODEL", "demo:echo")
CORE_DATA_DIR = Path(env.str("CORE_DATA_DIR", str(BASE_DIR / "core_orchestration")))
CORE_PUBLIC_URL = env.str("CORE_PUBLIC_URL", "http://localhost:8000")
CORE_MAX_STEPS = env.int("CORE_MAX_STEPS", 10_000)
CORE_MAX_OUTPUT_BYTES = env.int("CORE_MAX_OUTPUT_BYTES", 5 * 1024 * 1024)
# What one execution may come to; an orchestration's `limits` may lower each.
_AT_LEAST_1 = validate.Range(min=1)
CORE_MAX_EXECUTION_STEPS = env.int(
    "CORE_MAX_EXECUTION_STEPS", 100_000, validate=_AT_LEAST_1
)
CORE_MAX_FAN_OUT = env.int("CORE_MAX_FAN_OUT", 10_000, validate=_AT_LEAST_1)
CORE_MAX_DEPTH = env.int("CORE_MAX_DEPTH", 20, validate=_AT_LEAST_1)
CORE_MAX_ITERATIONS = env.int("CORE_MAX_ITERATIONS", 100_000, validate=_AT_LEAST_1)
CORE_MAX_CONTEXT_BYTES = env.int(
    "CORE_MAX_CONTEXT_BYTES", 50 * 1024 * 1024, validate=_AT_LEAST_1
)
CORE_MAX_CRASHES = env.int("CORE_MAX_CRASHES", 3)
# A worker's steps are its own for this long after its last heartbeat.
CORE_LEASE = timedelta(seconds=env.float("CORE_LEASE_S", 15))
CORE_HEARTBEAT = timedelta(seconds=env.float("CORE_HEARTBEAT_S", 5))
# Not ready is who has let messages lie this long, and taken none of them.
CORE_BACKLOG_S = env.float("CORE_BACKLOG_S", 60)
# Finished executions leave after so many days, 0 keeps them; and what they were is
# written there first, if it names a folder.
CORE_RETENTION_DAYS = env.float("CORE_RETENTION_DAYS", 30)
CORE_ARCHIVE_DIR = env.str("CORE_ARCHIVE_DIR", "")
# How long the period of a partition is, once `manage.py partition` has been run.
CORE_PARTITION_DAYS = env.int("CORE_PARTITION_DAYS", 7, validate=validate.Range(min=1))

# --- Logs -----------------------------------------------------------------------

LOGGING = logging_config(
    level=env.str("CORE_LOG_LEVEL", "INFO"), as_json=env.bool("CORE_LOG_JSON", False)
)

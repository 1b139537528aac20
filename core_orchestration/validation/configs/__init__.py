"""What `config` may say, for the step types that give it a meaning."""

from __future__ import annotations

from .agreement import check_config
from .fields import sound_settings
from .reasoning import is_whole

__all__ = ["check_config", "is_whole", "sound_settings"]

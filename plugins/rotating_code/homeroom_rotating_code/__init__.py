"""Check-in by a code that changes every few seconds, as QR and digits."""

from homeroom_rotating_code.plugin import CodeSettings, RotatingCode

__all__ = ["CodeSettings", "RotatingCode"]

"""A tablet at the school's door: in and out by card or PIN, under an account that can do nothing else."""

from homeroom_kiosk.plugin import Kiosk
from homeroom_kiosk.settings import KioskSettings

__all__ = ["Kiosk", "KioskSettings"]

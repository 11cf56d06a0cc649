"""Text messages through Twilio."""

from homeroom_twilio.plugin import Twilio
from homeroom_twilio.settings import TwilioSettings

__all__ = ["Twilio", "TwilioSettings"]

"""E-mail through the district's own mail server."""

from homeroom_smtp.plugin import Smtp
from homeroom_smtp.settings import SmtpSettings

__all__ = ["Smtp", "SmtpSettings"]

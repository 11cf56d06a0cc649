"""E-mail to families through SendGrid: sent once, and told of by signed events."""

from homeroom_sendgrid.plugin import SendGrid
from homeroom_sendgrid.settings import SendGridSettings

__all__ = ["SendGrid", "SendGridSettings"]

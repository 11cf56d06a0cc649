"""Sign-in by e-mail and password, with an optional second factor."""

from homeroom_accounts.plugin import Accounts

__all__ = ["Accounts"]

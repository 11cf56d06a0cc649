"""Pages for people: signing in, checking in, and taking the roll."""

from homeroom_web.plugin import Web

__all__ = ["Web"]

"""Plugins that cannot be loaded, each for a reason of its own."""

from __future__ import annotations

import sys
import time
from typing import Any

from pydantic import BaseModel

from homeroom import Health, Services, hookimpl


class _Plain:
    hook_api = 1

    def __init__(self, settings: BaseModel, services: Services) -> None:
        self.settings = settings
        self.services = services


class OtherApi(_Plain):
    """Written for a hook API of the future."""

    hook_api = 999


class NoApi:
    """Does not say for which hook API it is written."""


class Wrapper(_Plain):
    """Wants to see what other plugins answer."""

    @hookimpl(wrapper=True)
    def health(self) -> Any:
        """Change nothing, this time."""
        return (yield)


class UnknownHook(_Plain):
    """Misspells a hook."""

    @hookimpl
    async def verify_checkin(self, attempt: Any) -> None:
        """Never called."""


class UnknownArgument(_Plain):
    """Asks for what the hook does not have."""

    @hookimpl
    async def verify_check_in(self, attempt: Any, password: str) -> None:
        """Never called."""


class WantsToBeFirst(_Plain):
    """Would overtake the order of the file."""

    @hookimpl(tryfirst=True)
    async def health(self) -> Health:
        """Say that all is well."""
        return Health(ok=True)


class Twice(_Plain):
    """Implements one hook under two names."""

    @hookimpl
    async def health(self) -> Health:
        """Say that all is well."""
        return Health(ok=True)

    @hookimpl(specname="health")
    async def health_again(self) -> Health:
        """Say it once more."""
        return Health(ok=True)


class WrongSettings(_Plain):
    """Has settings that are no pydantic model."""

    Settings = dict


class WrongScopes(_Plain):
    """Asks for everything."""

    scopes = 7


class FailsToBegin(_Plain):
    """Raises when it is made."""

    def __init__(self, settings: BaseModel, services: Services) -> None:
        super().__init__(settings, services)
        raise ValueError("not today")


class ExitsToBegin(_Plain):
    """Ends the process when it is made."""

    def __init__(self, settings: BaseModel, services: Services) -> None:
        super().__init__(settings, services)
        sys.exit(4)


class HangsToBegin(_Plain):
    """Never gets ready."""

    def __init__(self, settings: BaseModel, services: Services) -> None:
        super().__init__(settings, services)
        time.sleep(30)


class _EndsAll:
    """Ends the process when it is looked at."""

    def __get__(self, instance: object, owner: type) -> Any:
        sys.exit(5)


class ExitsWhenLookedAt:
    """Fails where the host merely asks for its hook API."""

    hook_api = _EndsAll()

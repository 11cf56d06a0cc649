"""The single sign-on side of a plugin: where to send the browser, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from homeroom.types import ExternalIdentity, SignInStart


class SignInProvider(Protocol):
    """One provider (Google, Entra, Clever, …). The core owns the routes, `state` and `nonce`, and issues the tokens."""

    @property
    def label(self) -> str:
        """What the button says, for example "Google"."""
        ...

    async def start(self, *, redirect_uri: str, state: str, nonce: str) -> SignInStart:
        """Where the browser goes to sign in; `keep` comes back to `finish` (a PKCE verifier, for example)."""
        ...

    async def finish(
        self, *, redirect_uri: str, nonce: str, keep: Mapping[str, str], answer: Mapping[str, str]
    ) -> ExternalIdentity:
        """Who signed in, from the callback's query `answer`. Raises SignInRefused with a reason fit for the page."""
        ...


class SignInRefused(Exception):
    """The provider or the plugin's allow-list said no; the text is shown to the person who tried."""

"""The conformance kit for messaging channels: what every one of them must do, rule by rule.

    TestAcme = channel_tests(Acme, simulator=AcmeSimulator)

Each rule is a test of the class that this makes; its message says what is wrong and how to mend it.
docs/writing-a-channel.md says why each rule is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeroom.testing.channel_kit.callbacks import CallbackRules
from homeroom.testing.channel_kit.finding import FindingRules
from homeroom.testing.channel_kit.health import HealthRules
from homeroom.testing.channel_kit.manners import MannersRules
from homeroom.testing.channel_kit.sending import SendingRules
from homeroom.testing.channel_kit.subject import Subject
from homeroom.testing.channel_kit.trouble import TroubleRules
from homeroom.testing.channel_simulator import ChannelSimulator
from homeroom.testing.connector_kit.left_out import rules_left_out

__all__ = ["ChannelTests", "channel_tests"]

_SCOPE = "message."


class ChannelTests(MannersRules, CallbackRules, FindingRules, TroubleRules, SendingRules, HealthRules):
    """What every channel must pass; `channel_tests` makes a class of it for one channel."""


def channel_tests(
    channel: type[Any],
    *,
    simulator: type[ChannelSimulator],
    settings: Mapping[str, Any] | None = None,
    serves: str | None = None,
    max_block_ms: float = 100.0,
    skip: Mapping[str, str] | None = None,
) -> type[ChannelTests]:
    """A pytest class of what every channel must pass.

    `channel` is the plugin class; `settings` are added to those that the simulator names. `serves` says which of its
    channels is tried, where its scopes name several ("sms", "email"). `skip` maps the names of rules that cannot apply
    to the reason. Nothing may hold the event loop longer than `max_block_ms`.

    Raises TypeError for a plugin whose scopes name no channel, and for a rule that there is not.
    """
    served = sorted(one.removeprefix(_SCOPE) for one in getattr(channel, "scopes", ()) if one.startswith(_SCOPE))
    if not served or serves not in (None, *served):
        raise TypeError(f"the scopes of {channel.__name__} do not name {_SCOPE}{serves or 'CHANNEL'}")
    subject = Subject(
        plugin=channel,
        simulator=simulator,
        config=settings or {},
        channel=serves or served[0],
        max_block_ms=max_block_ms,
    )
    rules = rules_left_out(ChannelTests, skip or {})
    return type(f"Test{channel.__name__}", (ChannelTests,), {"subject": subject, **rules})

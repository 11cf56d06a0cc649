"""Every bundled channel that has a simulator keeps every rule of the conformance kit."""

from __future__ import annotations

from typing import Any

from homeroom.testing import channel_tests
from homeroom_sendgrid import SendGrid
from homeroom_sendgrid.simulator import SendGridSimulator
from homeroom_twilio import Twilio
from homeroom_twilio.simulator import TwilioSimulator


class ServiceSimulator(TwilioSimulator):
    """A Twilio whose sender is a Messaging Service."""

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, service=True, **how)


TestTwilio = channel_tests(Twilio, simulator=TwilioSimulator)
TestTwilioService = channel_tests(Twilio, simulator=ServiceSimulator)
TestSendGrid = channel_tests(
    SendGrid,
    simulator=SendGridSimulator,
    skip={"test_what_was_taken_is_found": "SendGrid cannot be asked; its event tells of what it has taken"},
)

"""Rosters from Skyward SMS 2.0 and Qmlativ; attendance as a file, or by API where Qmlativ permits it."""

from homeroom_skyward.plugin import Skyward, SkywardSettings
from homeroom_skyward.qmlativ import QmlativRoster
from homeroom_skyward.sms import SmsRoster

__all__ = ["QmlativRoster", "Skyward", "SkywardSettings", "SmsRoster"]

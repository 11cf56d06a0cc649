"""Twilio's JSON, as its OpenAPI description and its pages show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from quart import Response, request

from homeroom.testing import Taken

VERSION = "2010-04-01"
_MESSAGES: Mapping[int, tuple[int, str]] = {
    20001: (400, "Invalid parameter"),
    20003: (401, "Authenticate"),
    20404: (404, "The requested resource was not found"),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid 'From' Phone Number"),
    21408: (400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number is not a valid, message-capable Twilio phone number"),
    21609: (400, "The 'StatusCallback' URL is not a valid URL."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (400, "The 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "The 'To' phone number is not currently reachable using the 'From' phone number via SMS."),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21701: (400, "The messaging service does not exist"),
}
_PAGE = 50
_LARGEST_PAGE = 1000


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(body), status, content_type="application/json")


def error(code: int) -> Response:
    """A refusal; the message holds nothing of what was asked."""
    status, message = _MESSAGES[code]
    more = f"https://www.twilio.com/docs/errors/{code}"
    return answer({"code": code, "message": message, "more_info": more, "status": status}, status)


def message(taken: Taken, account_sid: str) -> dict[str, Any]:
    """A message as it stands now."""
    facts = taken.more
    uri = f"/{VERSION}/Accounts/{account_sid}/Messages/{taken.provider_id}"
    code = facts["code"]
    return {
        "account_sid": account_sid,
        "api_version": VERSION,
        "body": taken.body,
        "date_created": _time(taken.at),
        "date_sent": _time(facts["date_sent"]),
        "date_updated": _time(facts["date_sent"] or taken.at),
        "direction": "outbound-api",
        "error_code": code,
        "error_message": None if code is None else "not delivered",
        "from": facts["from"],
        "messaging_service_sid": facts["service"],
        "num_media": "0",
        "num_segments": str(facts["segments"]),
        "price": None,
        "price_unit": "USD",
        "sid": taken.provider_id,
        "status": facts["status"],
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": taken.to,
        "uri": f"{uri}.json",
    }


def account(sid: str, token: str, facts: Mapping[str, str]) -> dict[str, Any]:
    """The account itself; Twilio shows the token here, too."""
    since = _time(datetime(2026, 7, 1, tzinfo=UTC))
    return {
        "auth_token": token,
        "date_created": since,
        "date_updated": since,
        "friendly_name": "A district",
        "owner_account_sid": sid,
        "sid": sid,
        "status": facts["status"],
        "subresource_uris": {"messages": f"/{VERSION}/Accounts/{sid}/Messages.json"},
        "type": facts["type"],
        "uri": f"/{VERSION}/Accounts/{sid}.json",
    }


def number(account_sid: str, phone_number: str, sms_url: str | None) -> dict[str, Any]:
    """A telephone number of the account; where nobody has entered an address, an application deals with answers."""
    sid = "PN" + "5d" * 16
    return {
        "account_sid": account_sid,
        "api_version": VERSION,
        "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
        "friendly_name": "The district's number",
        "phone_number": phone_number,
        "sid": sid,
        "sms_application_sid": None if sms_url else "AP" + "5e" * 16,
        "sms_method": "POST",
        "sms_url": sms_url,
        "status": "in-use",
        "uri": f"/{VERSION}/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json",
    }


def page(name: str, rows: Sequence[Mapping[str, Any]]) -> Response:
    """The page of `rows` that this request asks for, and the way to the next one."""
    asked = request.args.get("PageSize", str(_PAGE)), request.args.get("Page", "0")
    if not all(text.isdecimal() for text in asked) or int(asked[0]) < 1:
        return error(20001)
    size, at = min(int(asked[0]), _LARGEST_PAGE), int(asked[1])
    start = size * at
    shown = rows[start : start + size]
    body = {
        name: shown,
        "start": start,
        "end": max(start, start + len(shown) - 1),
        "page": at,
        "page_size": size,
        "uri": _uri(size, at),
        "first_page_uri": _uri(size, 0),
        "previous_page_uri": _uri(size, at - 1) if at else None,
        "next_page_uri": _uri(size, at + 1, str(shown[-1]["sid"])) if start + size < len(rows) else None,
    }
    return answer(body)


def _uri(size: int, at: int, token: str | None = None) -> str:
    kept = {name: value for name, value in request.args.items() if name not in ("PageSize", "Page", "PageToken")}
    kept |= {"PageSize": str(size), "Page": str(at)}
    if token is not None:
        kept["PageToken"] = f"PA{token}"
    return f"{request.path}?{urlencode(kept)}"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_datetime(moment.replace(microsecond=0))

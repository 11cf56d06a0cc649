"""Signed events to other systems, at least once and in order.

The core hands each plugin the journal by one cursor, and several endpoints must not hold each other up. So `consume`
sends nothing: it copies the events that an endpoint wants into that endpoint's queue, in a table of the plugin's own,
and is done with them in one commit. From then on every endpoint is by itself. A task for each sends the oldest event
of its queue, and deletes it once the endpoint has answered 2xx; until then the next one waits, so the order holds. What
happens in between (a time-out, a kill, a lost database) leaves the event where it is, and it is sent again under the
same `webhook-id`.

    homeroom_webhooks/settings.py    the endpoints, and which events may leave at all
    homeroom_webhooks/event.py       what is sent, and its signature (https://www.standardwebhooks.com)
    homeroom_webhooks/queue.py       the two tables, and every statement on them
    homeroom_webhooks/courier.py     one endpoint's task: sending, waiting, giving up
    homeroom_webhooks/plugin.py      the hooks

An endpoint's row keeps how far its queue was filled, so that events which the core hands over twice are not queued
twice, and since when the endpoint is known, so that a new one is not sent the school year so far. With several
processes a lease in that row says which of them sends.
"""

from homeroom_webhooks.plugin import Webhooks
from homeroom_webhooks.settings import Endpoint, WebhooksSettings

__all__ = ["Endpoint", "Webhooks", "WebhooksSettings"]

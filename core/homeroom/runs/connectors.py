"""The SIS connectors that the enabled plugins give."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from homeroom.records import SisConnector, SourceError
from homeroom.store import Refused
from homeroom.types import Finding

CHECK_SECONDS = 60.0


class Host(Protocol):
    """What is needed of the plugin host."""

    @property
    def plugins(self) -> list[Any]: ...  # noqa: D102 - as in the host
    def implementers(self, hook: str) -> tuple[str, ...]: ...  # noqa: D102
    async def ask(self, name: str, hook: str, **arguments: Any) -> Any: ...  # noqa: D102
    async def ask_all(self, hook: str, **arguments: Any) -> list[Any]: ...  # noqa: D102


async def connectors(host: Host) -> dict[str, SisConnector]:
    """Every connector that can be used now, by its plugin's name, in call order."""
    answers = await host.ask_all("sis_connector")
    return {answer.plugin: answer.value for answer in answers if answer.error is None and answer.value is not None}


async def connector(host: Host, name: str) -> SisConnector:
    """The connector that the plugin `name` gives. Raises Refused 404 with why there is none, and those there are."""
    answer = await host.ask(name, "sis_connector")
    found: SisConnector | None = answer.value if answer is not None and answer.error is None else None
    if found is None:
        why = next((info.reason for info in host.plugins if info.name == name), "no such plugin") or "it gives none"
        names = ", ".join(host.implementers("sis_connector")) or "none"
        raise Refused(404, "no-such-connector", f"{name} is no connector that can be used: {why}. There are: {names}.")
    return found


async def findings(source: SisConnector, *, seconds: float = CHECK_SECONDS) -> list[Finding]:
    """What a connector's own check finds wrong with its settings and rights; empty when everything is as it must be."""
    try:
        async with asyncio.timeout(seconds):
            return list(await source.check())
    except TimeoutError:
        return [Finding(problem=f"the check took more than {seconds:g} s", fix="See whether the SIS answers.")]
    except SourceError as exc:
        return [Finding(problem=str(exc), fix="Put that right, then check again.")]
    except Exception as exc:  # noqa: BLE001 - foreign code, whose words may hold a secret
        fix = "Tell the connector's author: a check says what is wrong, and does not fail."
        return [Finding(problem=f"the check itself failed ({type(exc).__name__})", fix=fix)]

"""The figures of all workers of one `homeroom serve --workers N`, whichever of them Prometheus happens to ask.

Each worker keeps its figures in a file of its own, in a folder that the processes share, and writes it anew when one of
the others asks by a socket. Whoever is asked by Prometheus has all of them write and adds up what lies there. A file
only ever grows, and that of a worker that died stays: so no sum goes down because another one answered, or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

if TYPE_CHECKING:
    from homeroom.district import District
    from homeroom.runs.metrics import SyncFigures

_ANSWER_SECONDS = 2.0
_OF_ALL = ("homeroom_attendance", "homeroom_messages", "homeroom_settings_disagreeing")
"""Read from the journal or the database, so that each worker already counts the whole."""
_OF_THE_MOMENT = ("homeroom_sync_", "homeroom_attendance_out_")
"""Read from the database for the one who asks; the other workers know only what was so when they were asked last."""
_Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class WorkerFigures:
    """One worker's end: number `index` of those that share `folder`."""

    def __init__(self, folder: Path, index: int, district: District) -> None:
        self._folder, self._district = folder, district
        self._name = f"{index}-{os.getpid()}"
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the others, and go on counting the journal where they are."""
        for family in (await self._sums()).collect():
            if family.type == "counter" and family.name in _OF_ALL:
                self._district.metrics.go_on(family)
        self._server = await asyncio.start_unix_server(self._asked, self._folder / f"{self._name}.sock")

    async def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def all(self, syncs: Sequence[SyncFigures], outbox: Mapping[str, int]) -> bytes:
        """The figures of all workers in Prometheus' text format."""
        self._write(syncs, outbox)
        registry = CollectorRegistry()
        registry.register(await self._sums())
        return generate_latest(registry)

    async def _sums(self) -> _Sums:
        others = [path for path in self._folder.glob("*.sock") if path.stem != self._name and _lives(path)]
        await asyncio.gather(*(_ask(path) for path in others))
        return _Sums([_Worker(path, asking=path.stem == self._name) for path in sorted(self._folder.glob("*.json"))])

    async def _asked(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._write()
        writer.close()

    def _write(self, syncs: Sequence[SyncFigures] = (), outbox: Mapping[str, int] | None = None) -> None:
        metrics = self._district.metrics
        metrics.look(self._district, syncs, outbox)
        families = [
            [one.name, one.documentation, one.type, [[s.name, s.labels, s.value] for s in one.samples]]
            for one in metrics.registry.collect()
        ]
        fresh = self._folder / f"{self._name}.new"
        fresh.write_bytes(orjson.dumps(families))
        fresh.replace(self._folder / f"{self._name}.json")


class _Worker:
    """What one worker has written; `asking` is the one that Prometheus asked."""

    def __init__(self, path: Path, *, asking: bool) -> None:
        self.index = path.stem.partition("-")[0]
        self.lives = _lives(path)
        self.asking = asking
        self.families: list[Any] = orjson.loads(path.read_bytes())

    def says(self, family: str, kind: str, labels: Mapping[str, str]) -> bool:
        """Whether its word counts: what a dead one had is free again, and what was read for another is old."""
        if not self.lives and (kind == "gauge" or family.startswith("process_")):
            return False
        of_the_moment = family.startswith(_OF_THE_MOMENT) or labels.get("queue", "").startswith("messages_")
        return self.asking or not of_the_moment


class _Sums(Collector):
    """What several workers counted, as one. What belongs to a process keeps its number, as the label `worker`."""

    def __init__(self, workers: list[_Worker]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """Each family once."""
        found: dict[str, Metric] = {}
        values: dict[str, _Values] = {}
        for worker in self._workers:
            for name, text, kind, samples in worker.families:
                found.setdefault(name, Metric(name, text, kind))
                for sample, labels, value in samples:
                    if worker.says(name, kind, labels):
                        told = {**labels, "worker": worker.index} if name.startswith("process_") else labels
                        _add(values.setdefault(name, {}), name, sample, told, value)
        for name, family in found.items():
            for (sample, told), value in values.get(name, {}).items():
                family.samples.append(Sample(sample, dict(told), value))
            yield family


def _add(values: _Values, family: str, sample: str, labels: Mapping[str, str], value: float) -> None:
    key = sample, tuple(labels.items())
    known = values.get(key)
    if known is None:
        values[key] = value
    elif sample.endswith("_created"):
        values[key] = min(known, value)
    elif family in _OF_ALL:
        values[key] = max(known, value)
    else:
        values[key] = known + value


def _lives(path: Path) -> bool:
    return bool(psutil.pid_exists(int(path.stem.partition("-")[2])))


async def _ask(path: Path) -> None:
    """Have another worker write; one that does not answer is taken as it last was."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            await reader.read()
            writer.close()

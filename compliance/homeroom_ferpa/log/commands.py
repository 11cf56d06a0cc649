"""`homeroom audit`: see whether the log holds, and hand out what others check it with."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from homeroom_ferpa.log import receipts, table, verifier
from homeroom_ferpa.log.measure import measure_command
from homeroom_ferpa.log.notes import published_keys
from homeroom_ferpa.log.part import Log
from homeroom_ferpa.log.report import Report
from homeroom_ferpa.log.routes import verifier_text
from homeroom_ferpa.log.verify import verify

T = TypeVar("T")

_NOT_FINE = 1
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
_out_option = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write."
)


def audit_group(log: Log) -> click.Group:
    """The group `audit`."""
    group = click.Group("audit", help="See whether the audit log holds, and hand out what others check it with.")
    _add_verify(group, log)
    _add_receipt(group, log)
    _add_continuation(group, log)
    _add_keys(group, log)
    group.add_command(measure_command(log))
    return group


def _add_verify(group: click.Group, log: Log) -> None:
    @group.command("verify", epilog="Example: homeroom audit verify --checkpoint witness.txt")
    @click.option(
        "--checkpoint",
        "files",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Checkpoints kept elsewhere (one, or a whole witness file); they may be old. Can be given again.",
    )
    @_json_option
    def verify_log(*, files: tuple[Path, ...], as_json: bool) -> None:
        """Compare every entry, hash and checkpoint with the rows of the database; exit 1 when something is wrong.

        The witness file of the settings is compared as well, where it is there.
        """
        own = log.settings.witness_file
        wanted = dict.fromkeys([*files, *([own] if own is not None and own.exists() else [])])
        report = asyncio.run(_verify(log, list(wanted), quiet=as_json))
        if as_json:
            click.echo(json.dumps(report.as_json()))
        else:
            _tell(report)
        if not report.ok:
            raise click.exceptions.Exit(_NOT_FINE)


async def _verify(log: Log, files: list[Path], *, quiet: bool) -> Report:
    witnessed = [(str(path), _notes(path)) for path in files]
    read = log.services.store.read
    if quiet or not sys.stderr.isatty():
        return await verify(read, witnessed=witnessed)
    with click.progressbar(length=1, label="audit verify", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        return await verify(read, witnessed=witnessed, progress=show)


def _tell(report: Report) -> None:
    told = report.as_json()
    for problem in told["problems"]:
        click.echo(f"- {problem}")
    counted = f"{report.size} entries, {report.checkpoints} checkpoints"
    more = [f"{report.witnessed} kept elsewhere"] if report.witnessed else []
    more += [f"{report.purged} rows let go when their time was over"] if report.purged else []
    more += [f"{report.pending} rows after the last checkpoint, not sealed under it"] if report.pending else []
    click.echo("; ".join([counted, *more]) + f". Root {report.root}")
    if report.purged_unsealed:
        click.echo(
            f"That {report.purged_unsealed} of the rows were let go rests on a journal entry that is not sealed yet: "
            "it was made after the last checkpoint. Let the server run for a moment, and verify once more."
        )
    click.echo(
        "The log holds." if report.ok else "THE LOG DOES NOT HOLD. Change nothing, keep a copy, and look into it."
    )


def _add_receipt(group: click.Group, log: Log) -> None:
    @group.command("receipt", epilog="Example: homeroom audit receipt 0192f3… --out receipt.json")
    @click.argument("record_id")
    @_out_option
    def write_receipt(*, record_id: str, out: Path) -> None:
        """Write the receipt of one attendance record."""
        found = asyncio.run(receipts.receipt(log.services, log.sealer, record_id))
        if found is None:
            raise click.ClickException(f"The journal knows no attendance record {record_id}.")
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        click.echo(f"{out} is written. Check it with: python verifier.py {out} --key …  (homeroom audit public-key)")


def _add_continuation(group: click.Group, log: Log) -> None:
    @group.command("consistency", epilog="Example: homeroom audit consistency last-year.txt --out proof.json")
    @click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @_out_option
    def write_continuation(*, checkpoint: Path, out: Path) -> None:
        """Write the proof that the log still begins with all that an old CHECKPOINT counted."""
        note = next(_notes(checkpoint), "")
        try:
            found = asyncio.run(_read(log, partial(receipts.continuation, old=note)))
        except verifier.Problem as problem:
            raise click.ClickException(f"{checkpoint}: {problem}.") from None
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        click.echo(f"{out} is written.")


def _add_keys(group: click.Group, log: Log) -> None:
    @group.command("public-key", epilog="Example: homeroom audit public-key > key.txt")
    @_json_option
    def show_keys(*, as_json: bool) -> None:
        """Print the keys that checkpoints are signed with, oldest first; the last one signs now.

        Where there are several, each comes with the numbers of the checkpoints that it signs.
        """
        keys = asyncio.run(_read(log, table.keys))
        if not keys:
            raise click.ClickException("Nothing is sealed yet: start the server once, with the plugin enabled.")
        if as_json:
            click.echo(json.dumps({"keys": published_keys(keys)}))
            return
        for line in published_keys(keys):
            click.echo(line)

    @group.command("rotate-key", epilog="Example: homeroom audit rotate-key")
    def rotate_key() -> None:
        """Sign with a fresh key from now on; the old one signs that it does.

        Publish anew all that `homeroom audit public-key` prints: it says up to when the old one is to be believed.
        """
        click.echo(asyncio.run(log.sealer.rotate()).published_until(None))

    @group.command("verifier", epilog="Example: homeroom audit verifier --out verifier.py")
    @_out_option
    def write_verifier(*, out: Path) -> None:
        """Write the program with which anybody can check receipts and checkpoints, without Homeroom."""
        out.write_text(verifier_text(), encoding="utf-8")
        click.echo(f"{out} is written; any Python from 3.9 on runs it.")


def _read(log: Log, query: Any) -> Coroutine[Any, Any, Any]:
    return log.services.store.read(query)


def _notes(path: Path) -> Iterator[str]:
    """Each checkpoint of a file; the file itself, as one that is damaged, when there is none."""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        found = False
        for note in verifier.notes(_lines(file)):
            found = True
            yield note
        if not found:
            yield ""


def _lines(file: Any) -> Iterator[str]:
    line = ""
    for line in file:
        yield line.removesuffix("\n")
    if line.endswith("\n"):
        yield ""

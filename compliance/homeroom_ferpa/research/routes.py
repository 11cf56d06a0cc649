"""The routes of studies: agreements, the extracts under them, and whose a record code is. The district's alone."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from quart import Blueprint, Response

from homeroom import Call, FieldError, Invalid, Transaction, operation
from homeroom_ferpa.access.records import expected_version, new_id
from homeroom_ferpa.research import codes, extracts, files, studies
from homeroom_ferpa.research import shapes as s
from homeroom_ferpa.research.part import Research

_NOTICE = "Homeroom-Redisclosure-Notice"


def add_routes(pages: Blueprint, research: Research) -> None:
    """Hang them below the plugin's prefix."""
    _add_studies(pages)
    _add_extracts(pages, research)
    _add_lookups(pages)


def _add_studies(pages: Blueprint) -> None:
    @pages.post("/studies")
    @operation("compliance.manage", body=s.StudyIn, answers={201: s.StudyOut}, idempotent=True)
    async def add_study(call: Call, body: s.StudyIn) -> Response:
        """Put a study agreement on file; one that lacks anything §99.31(a)(6) asks for is refused."""
        first_day = body.first_day or call.today()
        _check(call, body, first_day)
        one = studies.Study(
            **body.model_dump(exclude={"first_day", "data"}),
            id=new_id(),
            first_day=first_day,
            data=tuple(dict.fromkeys(body.data)),
            recorded_by=call.subject,
        )

        def unit(tx: Transaction) -> s.StudyOut:
            studies.add(tx, one)
            return _study(call, studies.read(tx, one.id))

        return await call.create(unit)

    @pages.get("/studies")
    @operation("compliance.manage", answers=s.StudiesOut)
    async def list_studies(call: Call) -> s.StudiesOut:
        """The register of study agreements, the ended ones too."""
        return s.StudiesOut(items=[_study(call, one) for one in await call.read(studies.listed)])

    @pages.delete("/studies/<study_id>")
    @operation("compliance.manage", answers={204: None}, problems=(412, 428))
    async def end_study(call: Call, study_id: str) -> tuple[None, int]:
        """End an agreement, as of now: nothing more is given under it. What was given is still to be destroyed."""
        await call.write(partial(studies.finish, study_id=study_id, version=expected_version(), by=call.subject))
        return None, 204

    @pages.post("/studies/<study_id>/destruction")
    @operation("compliance.manage", body=s.DestroyedIn, answers=s.StudyOut, problems=(409,))
    async def confirm_destruction(call: Call, study_id: str, body: s.DestroyedIn) -> s.StudyOut:
        """Keep that the organisation has destroyed its data, and who has confirmed it; our key of codes goes, too."""
        if body.destroyed_on > call.today():
            raise _invalid("destroyed_on", "is in the future")
        given: dict[str, Any] = {"how": body.destroyed_how, "confirmed_by": body.confirmed_by, "by": call.subject}
        done = await call.write(partial(studies.destroyed, study_id=study_id, on=body.destroyed_on, **given))
        return _study(call, done)


def _add_extracts(pages: Blueprint, research: Research) -> None:
    services = research.services

    @pages.post("/studies/<study_id>/extracts")
    @operation("compliance.manage", body=s.ExtractIn, answers={201: s.ExtractOut}, problems=(409,))
    async def make_extract(call: Call, study_id: str, body: s.ExtractIn) -> tuple[s.ExtractOut, int]:
        """Make the extract of these days, or find the one that was made, and enter it in the record of disclosures."""
        asked = {"by": call.subject, "request_id": call.request_id}
        made = await extracts.make(services, research.settings, study_id, body.since, body.until, **asked)
        return _extract(made), 201

    @pages.get("/studies/<study_id>/extracts")
    @operation("compliance.manage", answers=s.ExtractsOut)
    async def list_extracts(call: Call, study_id: str) -> s.ExtractsOut:
        """The extracts that were made in a study, without their rows."""
        await call.read(partial(studies.read, study_id=study_id))
        found = await call.read(partial(extracts.of_study, study_id=study_id))
        return s.ExtractsOut(items=[_extract(one) for one in found])

    @pages.get("/studies/<study_id>/extracts/<extract_id>")
    @operation("compliance.manage", answers=s.ExtractFile, problems=(409,))
    async def read_extract(call: Call, study_id: str, extract_id: str) -> tuple[s.ExtractFile, int, dict[str, str]]:
        """An extract as JSON, with the agreement and the redisclosure notice on it."""
        given = await _given(call, research, study_id, extract_id, "json")
        return s.ExtractFile(**files.as_json(given, research.notice)), 200, {_NOTICE: research.notice}

    @pages.get("/studies/<study_id>/extracts/<extract_id>/csv")
    @operation("compliance.manage", answers={200: "text/csv"}, problems=(409,))
    async def read_extract_csv(call: Call, study_id: str, extract_id: str) -> Response:
        """The same as CSV, after lines that begin with `#`."""
        given = await _given(call, research, study_id, extract_id, "csv")
        name = f"extract-{given.extract.since.isoformat()}-{given.extract.until.isoformat()}.csv"
        headers = {_NOTICE: research.notice, "Content-Disposition": f'attachment; filename="{name}"'}
        text = files.as_csv(given, research.notice)
        return Response(text, 200, headers, content_type="text/csv; charset=utf-8")


def _add_lookups(pages: Blueprint) -> None:
    @pages.post("/studies/<study_id>/lookups")
    @operation("compliance.manage", body=s.LookupIn, answers=s.LookupOut)
    async def look_up_code(call: Call, study_id: str, body: s.LookupIn) -> s.LookupOut:
        """Whose a record code is: for the district alone, with a reason, and kept with the student."""
        key = new_id()
        student_id = await call.read(partial(codes.holder_of, study_id=study_id, code=body.code))
        asked: dict[str, Any] = {"student_id": student_id, "reason": body.reason, "by": call.subject}
        await call.write(partial(codes.looked_up, key=key, study_id=study_id, **asked))
        call.discloses([student_id], fields=("record_code",), rows=1)
        return s.LookupOut(student_id=student_id)


async def _given(call: Call, research: Research, study_id: str, extract_id: str, form: str) -> extracts.Given:
    given = await extracts.give(research.services, study_id, extract_id, form=form)
    call.discloses(given.students, fields=given.study.data, rows=len(given.rows))
    return given


def _check(call: Call, body: s.StudyIn, first_day: Any) -> None:
    """What can be said of an agreement without looking anything up."""
    today = call.today()
    if body.signed_on > today:
        raise _invalid("signed_on", "is in the future")
    if first_day < body.signed_on:
        raise _invalid("first_day", "is before the agreement was signed")
    if body.last_day < max(first_day, today):
        raise _invalid("last_day", "must not be over, nor before the first day")
    if body.data_until < body.data_since:
        raise _invalid("data_until", "must not be before `data_since`")
    if body.destroy_by < body.last_day:
        raise _invalid("destroy_by", "must not be before the last day")


def _invalid(field: str, message: str) -> Invalid:
    return Invalid([FieldError(field=field, message=message)])


def _study(call: Call, one: studies.Study) -> s.StudyOut:
    return s.StudyOut(**{**asdict(one), "data": list(one.data)}, state=one.state(call.today()))


def _extract(one: extracts.Extract) -> s.ExtractOut:
    return s.ExtractOut(**asdict(one))

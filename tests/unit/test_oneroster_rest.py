"""From a OneRoster server's answers to records: both versions, what real servers leave out, and what cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from quart import Quart, Response, jsonify, request

from homeroom import (
    NOUNS,
    AcademicSession,
    Class,
    Course,
    Enrollment,
    Noun,
    Org,
    OutgoingMark,
    Page,
    Pull,
    RowError,
    SisHttp,
    SourceError,
    User,
    UserRole,
    VendorError,
)
from homeroom.testing import services
from homeroom_oneroster import RestConnector
from homeroom_oneroster.signing import bearer

BASE = "https://sis.example/ims"
MODIFIED = "2026-09-01T08:00:00.000Z"


class Vendor:
    """A server that answers with exactly these rows, in one page, and refuses what `refusals` says."""

    def __init__(self, refusals: Mapping[str, int] | None = None, **collections: list[Any]) -> None:
        self.collections = collections
        self.refusals = dict(refusals or {})
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.app = Quart("vendor")
        self.app.add_url_rule("/ims/<path:path>", view_func=self.answer)

    async def answer(self, path: str) -> Response:
        self.asked.append((path, request.args.to_dict()))
        if path in self.refusals:
            return Response("<h1>No</h1>", self.refusals[path], {"Content-Type": "text/html"})
        name, _, sourced_id = path.partition("/")
        rows = self.collections.get(name, [])
        if sourced_id:
            return jsonify({"user": next(row for row in rows if row["sourcedId"] == sourced_id)})
        offset = int(request.args.get("offset", 0))
        response = jsonify({name: rows[offset:]})
        response.headers["X-Total-Count"] = str(len(rows))
        return response

    def connector(self, **options: Any) -> RestConnector:
        http = SisHttp(services("oneroster", http=self.app), BASE, auth=bearer(SecretStr("t")), attempts=1)
        return RestConnector(http, **options)


def row(sourced_id: str, **more: Any) -> dict[str, Any]:
    return {"sourcedId": sourced_id, "status": "active", "dateLastModified": MODIFIED, **more}


def reference(sourced_id: str, kind: str) -> dict[str, str]:
    return {"href": f"{BASE}/{kind}s/{sourced_id}", "sourcedId": sourced_id, "type": kind}


def user(sourced_id: str, **more: Any) -> dict[str, Any]:
    begun = row(sourced_id, enabledUser="true", givenName=sourced_id.title(), familyName="Ruiz")
    return {**begun, "roles": [{"roleType": "primary", "role": "student", "org": reference("s1", "org")}], **more}


async def pages(vendor: Vendor, noun: Noun, since: datetime | None = None, **options: Any) -> list[Page]:
    return [page async for page in vendor.connector(**options).pull(Pull(noun=noun, since=since))]


async def only(vendor: Vendor, noun: Noun, **options: Any) -> Any:
    """The one record, in one page without errors."""
    [page] = await pages(vendor, noun, **options)
    assert page.errors == []
    [record] = page.records
    return record


async def errors(vendor: Vendor, noun: Noun) -> list[RowError]:
    return [error for page in await pages(vendor, noun) for error in page.errors]


async def test_an_org_is_read_with_its_parent_and_when_it_was_changed() -> None:
    vendor = Vendor(orgs=[row("s1", name=" Cedar ", type="school", identifier=7, parent=reference("d", "org"))])

    assert await only(vendor, "org") == Org(
        sourced_id="s1",
        name="Cedar",
        kind="school",
        identifier="7",
        parent="d",
        modified=datetime(2026, 9, 1, 8, tzinfo=UTC),
    )


async def test_a_term_ends_the_day_after_its_last_where_the_server_means_the_last() -> None:
    term = row("t", title="Fall", type="term", startDate="2026-08-17", endDate="2026-12-18T00:00:00Z", schoolYear=2027)
    vendor = Vendor(academicSessions=[term])

    exclusive = await only(vendor, "academicSession")
    inclusive = await only(vendor, "academicSession", end_dates="inclusive")

    assert isinstance(exclusive, AcademicSession)
    assert (exclusive.begins_on, exclusive.ends_on) == (date(2026, 8, 17), date(2026, 12, 18))
    assert (exclusive.school_year, inclusive.ends_on) == (2027, date(2026, 12, 19))


async def test_courses_and_classes_are_read_with_what_they_refer_to() -> None:
    vendor = Vendor(
        courses=[row("c", title="Biology", courseCode="BIO", org=reference("s1", "org"))],
        classes=[
            row(
                "bio",
                title="Biology 1",
                classType="ext:lab",
                course=reference("c", "course"),
                school=reference("s1", "org"),
                terms=[reference("t1", "academicSession"), reference("t2", "academicSession")],
                periods=["A1", 2],
            )
        ],
    )
    modified = datetime(2026, 9, 1, 8, tzinfo=UTC)

    assert await only(vendor, "course") == Course(
        sourced_id="c", title="Biology", code="BIO", org="s1", modified=modified
    )
    assert await only(vendor, "class") == Class(
        sourced_id="bio",
        title="Biology 1",
        school="s1",
        course="c",
        terms=("t1", "t2"),
        kind="ext:lab",
        periods=("A1", "2"),
        modified=modified,
    )


@pytest.mark.parametrize("primary", ["true", True, "TRUE"])
async def test_an_enrollment_is_read_whether_its_booleans_are_words_or_not(primary: Any) -> None:
    one = row(
        "e",
        user=reference("tia", "user"),
        role="Teacher",
        school=reference("s1", "org"),
        primary=primary,
        beginDate="2026-08-17",
        endDate=None,
    )
    vendor = Vendor(enrollments=[{**one, "class": reference("bio", "class")}])

    found = await only(vendor, "enrollment")

    assert found == Enrollment(
        sourced_id="e",
        user="tia",
        class_="bio",
        role="teacher",
        school="s1",
        primary=True,
        begins_on=date(2026, 8, 17),
        modified=datetime(2026, 9, 1, 8, tzinfo=UTC),
    )


async def test_a_person_of_1_2_has_each_role_at_its_school_and_both_names() -> None:
    """Hazards 15, 22 and 23: several roles and schools, and legal names apart from preferred ones."""
    roles = [
        {"roleType": "primary", "role": "student", "org": reference("s1", "org"), "beginDate": "2026-08-17"},
        {"roleType": "secondary", "role": "student", "org": reference("s2", "org"), "endDate": "2027-06-01"},
        {"roleType": "secondary", "role": "ext:mentor", "org": reference("s1", "org")},
    ]
    ana = user(
        "ana",
        roles=roles,
        preferredFirstName="Anni",
        preferredLastName="R.",
        middleName="M",
        agents=[reference("gus", "user"), reference("eva", "user")],
        grades=["09"],
        identifier="1001",
        email="ana@example.org",
        enabledUser="false",
    )
    vendor = Vendor(users=[ana], demographics=[row("ana", birthDate="2012-01-31")])

    assert await only(vendor, "user") == User(
        sourced_id="ana",
        given_name="Ana",
        family_name="Ruiz",
        middle_name="M",
        preferred_given_name="Anni",
        preferred_family_name="R.",
        roles=(
            UserRole(role="student", org="s1", begins_on=date(2026, 8, 17)),
            UserRole(role="student", org="s2", primary=False, ends_on=date(2027, 6, 1)),
            UserRole(role="ext:mentor", org="s1", primary=False),
        ),
        agents=("gus", "eva"),
        grades=("09",),
        identifier="1001",
        email="ana@example.org",
        birth_date=date(2012, 1, 31),
        enabled=False,
        modified=datetime(2026, 9, 1, 8, tzinfo=UTC),
    )


async def test_a_person_of_1_1_has_one_role_at_each_of_the_orgs() -> None:
    one = user("ana", role="student", orgs=[reference("s1", "org"), reference("s2", "org")])
    del one["roles"]

    found = await only(Vendor(users=[one]), "user", version="1.1")

    assert found.roles == (UserRole(role="student", org="s1"), UserRole(role="student", org="s2", primary=False))


async def test_a_guardians_own_row_gives_nobody_a_guardian() -> None:
    roles = [{"roleType": "primary", "role": "parent", "org": reference("s1", "org")}]
    vendor = Vendor(users=[user("gus", roles=roles, agents=[reference("ana", "user")])])

    assert (await only(vendor, "user")).agents == ()


async def test_a_record_to_be_deleted_is_given_with_its_id_alone() -> None:
    vendor = Vendor(
        users=[{"sourcedId": "ana", "status": "tobedeleted"}], orgs=[{"sourcedId": "o", "status": "INACTIVE"}]
    )

    assert await only(vendor, "user") == User(sourced_id="ana", given_name="", family_name="", status="tobedeleted")
    assert (await only(vendor, "org")).status == "tobedeleted"


async def test_birth_dates_that_may_not_be_read_leave_the_known_ones_as_they_are() -> None:
    for status in (401, 403, 404):
        found = await only(Vendor({"demographics": status}, users=[user("ana")]), "user")

        assert found.only is not None
        assert "birth_date" not in found.only
        assert "roles" in found.only


async def test_ids_that_are_numbers_are_the_same_ids_wherever_they_stand() -> None:
    ana = user("ana", sourcedId=7, agents=[{"sourcedId": 8}])
    vendor = Vendor(
        users=[ana, user("bad", sourcedId=9, enabledUser="perhaps")],
        demographics=[row("x", sourcedId=7, birthDate="2012-01-31")],
    )

    [page] = await pages(vendor, "user")

    [found] = page.records
    assert isinstance(found, User)
    assert (found.sourced_id, found.agents, found.birth_date) == ("7", ("8",), date(2012, 1, 31))
    assert [error.sourced_id for error in page.errors] == ["9"]


async def test_a_birth_date_is_read_as_1_1_and_1_2_spell_it() -> None:
    dates = [row("ana", birthdate="2012-01-31"), row("ben", birthDate="2013-01-31T00:00:00Z")]

    [page] = await pages(Vendor(users=[user("ana"), user("ben")], demographics=dates), "user")

    born = [record.birth_date for record in page.records if isinstance(record, User)]
    assert born == [date(2012, 1, 31), date(2013, 1, 31)]


@pytest.mark.parametrize("href", ["/orgs/s%201", "https://sis.example/ims/orgs/s%201/", "orgs/s%201?fields=name"])
async def test_a_reference_without_an_id_names_it_by_its_address(href: str) -> None:
    vendor = Vendor(courses=[row("c", title="Biology", org={"href": href, "type": "org"})])

    assert (await only(vendor, "course")).org == "s 1"


async def test_a_list_of_one_may_be_the_thing_itself_and_a_number_may_have_a_point() -> None:
    one = user("ana", role="student", orgs=reference("s1", "org"), identifier=1001.0)
    del one["roles"]

    found = await only(Vendor(users=[one]), "user", version="1.1")

    assert (found.roles, found.identifier) == ((UserRole(role="student", org="s1"),), "1001")


@pytest.mark.parametrize("status", [403, 404])
async def test_terms_and_courses_that_are_not_shared_are_not_taken_for_gone(status: int) -> None:
    vendor = Vendor(dict.fromkeys(("academicSessions", "courses", "users"), status))

    for noun in ("academicSession", "course"):
        [page] = await pages(vendor, noun)
        assert (page.records, page.errors, page.delta) == ((), (), True)
    with pytest.raises(VendorError):
        await pages(vendor, "user")


async def test_courses_that_are_refused_after_the_first_page_are_not_taken_for_all() -> None:
    class Stops(Vendor):
        async def answer(self, path: str) -> Response:
            if path == "courses" and int(request.args["offset"]) > 0:
                return Response("{}", 403)
            response = await super().answer(path)
            response.headers["X-Total-Count"] = "9"
            return response

    with pytest.raises(VendorError, match="/courses"):
        await pages(Stops(courses=[row("algebra", title="Algebra"), row("art", title="Art")]), "course")


async def test_a_server_that_gives_fewer_than_asked_for_and_counts_its_page_alone_is_read_to_the_end() -> None:
    class Clamps(Vendor):
        async def answer(self, path: str) -> Response:
            offset = int(request.args["offset"])
            some = self.collections[path][offset : offset + 100]
            response = jsonify({path: some})
            response.headers["X-Total-Count"] = str(len(some))
            return response

    schools = [row(f"school {number:03}", name="A", type="school") for number in range(250)]

    assert sum(len(page.records) for page in await pages(Clamps(orgs=schools), "org")) == 250


async def test_a_birth_date_that_cannot_be_read_leaves_that_person_s_as_it_is() -> None:
    unusable = [row("ana", birthDate="31.01.2012"), row("ben"), row("x", sourcedId=7), "no object"]
    vendor = Vendor(users=[user("ana"), user("ben")], demographics=unusable)

    [page] = await pages(vendor, "user")

    ana, ben = (record for record in page.records if isinstance(record, User))
    assert ana.only is not None
    assert "birth_date" not in ana.only
    assert (ben.only, ben.birth_date) == (None, None)


async def test_roles_that_are_not_told_leave_the_known_ones_as_they_are() -> None:
    ana, ben = user("ana"), user("ben", roles=[])
    del ana["roles"]

    [page] = await pages(Vendor(users=[ana, ben]), "user")

    first, second = (record for record in page.records if isinstance(record, User))
    assert first.only is not None
    assert "roles" not in first.only
    assert (second.only, second.roles) == (None, ())


async def test_a_role_that_cannot_be_read_is_left_out_and_told_by_its_place() -> None:
    bad = [
        {"roleType": "primary", "role": "student", "org": reference("s1", "org")},
        {"roleType": "primary", "role": "wizard", "org": reference("s1", "org")},
    ]
    [page] = await pages(Vendor(users=[user("ana"), user("ben", roles=bad)]), "user")

    ben = page.records[1]
    assert isinstance(ben, User)
    assert ([role.role for role in ben.roles], ben.roles_complete) == (["student"], False)
    assert page.errors == [
        RowError(
            noun="user", where="/users?offset=0, row 2", reason="this is no role of OneRoster", field="role", part=True
        )
    ]


async def test_hazard_11_a_row_with_a_blank_id_is_set_aside_by_page_and_position() -> None:
    vendor = Vendor(
        users=[user("ana"), user("ben", sourcedId=" "), user("cem", sourcedId=None), user("dee", sourcedId={"x": 1})]
    )

    found = await errors(vendor, "user")

    assert [(one.where, one.field, one.sourced_id) for one in found] == [
        ("/users?offset=0, row 2", "sourcedId", None),
        ("/users?offset=0, row 3", "sourcedId", None),
        ("/users?offset=0, row 4", "sourcedId", None),
    ]


async def test_rows_that_cannot_be_read_are_set_aside_by_their_id_and_the_rest_is_taken() -> None:
    vendor = Vendor(
        academicSessions=[
            row("a", title="A", type="term", startDate="2026-08-17", endDate="soon"),
            row("b", title="B", type="term", startDate="2026-08-17", endDate="2026-12-18"),
            "no object",
            row("c", title={"en": "C"}, type="term", startDate="2026-08-17", endDate="2026-12-18"),
            row("d", title="D", type="term", startDate="2026-08-17", endDate="2026-12-18", status="gone"),
        ]
    )

    [page] = await pages(vendor, "academicSession")

    assert [record.sourced_id for record in page.records] == ["b"]
    assert page.places == ["/academicSessions?offset=0, row 2"]
    assert [(one.sourced_id, one.field, one.reason) for one in page.errors] == [
        ("a", "endDate", "this is not a date (YYYY-MM-DD)"),
        (None, None, "this is not an object"),
        ("c", "title", "this is not text"),
        ("d", "status", "this is neither active nor tobedeleted"),
    ]


async def test_what_is_wrong_in_a_reference_is_told_by_its_name_in_json() -> None:
    vendor = Vendor(
        classes=[row("a", title="A"), row("b", title="B", school=reference("s1", "org"), terms="t1, t2", periods=7)],
        users=[user("ana", roles="student")],
    )

    assert [one.field for one in await errors(vendor, "class")] == ["school", "periods"]
    assert [one.field for one in await errors(vendor, "user")] == ["roles"]


async def test_hazard_17_a_date_with_an_hour_stays_the_day_that_is_written() -> None:
    one = row("e", user=reference("a", "user"), role="student", beginDate="2026-08-17T23:00:00-07:00")
    vendor = Vendor(enrollments=[{**one, "class": reference("bio", "class")}])

    assert (await only(vendor, "enrollment")).begins_on == date(2026, 8, 17)


async def test_the_dates_that_programs_write_for_none_and_for_ever_lose_no_enrollment() -> None:
    one = row("e", user=reference("tia", "user"), role="teacher", beginDate="0001-01-01T00:00:00", endDate="9999-12-31")
    vendor = Vendor(enrollments=[{**one, "class": reference("bio", "class")}])

    found = await only(vendor, "enrollment", end_dates="inclusive")

    assert (found.begins_on, found.ends_on) == (None, date.max)


async def test_a_moment_of_change_that_cannot_be_read_costs_nothing() -> None:
    vendor = Vendor(orgs=[row("o", name="O", type="school", dateLastModified="yesterday")])

    assert (await only(vendor, "org")).modified is None


async def test_an_answer_that_is_no_list_is_an_error_and_never_no_students() -> None:
    class Odd(Vendor):
        async def answer(self, path: str) -> Response:
            return jsonify({"imsx_StatusInfo": {"imsx_codeMajor": "failure"}} if path == "users" else {path: "none"})

    for noun in NOUNS[:5]:
        with pytest.raises(SourceError, match="no list of"):
            await pages(Odd(), noun)


async def test_a_bare_list_is_read_as_the_collection_that_was_asked_for() -> None:
    class Bare(Vendor):
        async def answer(self, path: str) -> Response:
            return jsonify(self.collections[path] if request.args["offset"] == "0" else self.collections[path][-1:])

    assert (await only_of(Bare(orgs=[row("o", name="O", type="school")]), "org")) == ["o"]


async def only_of(vendor: Vendor, noun: Noun) -> list[str]:
    return [record.sourced_id for page in await pages(vendor, noun) for record in page.records]


async def test_an_error_names_the_collection_that_it_is_about() -> None:
    with pytest.raises(VendorError, match=r"/enrollments: the system does not permit this") as caught:
        await pages(Vendor({"enrollments": 403}), "enrollment")
    assert caught.value.retry is False


async def test_a_changed_reading_asks_for_changes_by_the_server_s_own_clock() -> None:
    class TenMinutesAhead(Vendor):
        async def answer(self, path: str) -> Response:
            response = await super().answer(path)
            response.headers["Date"] = "Tue, 01 Sep 2026 14:10:00 GMT"  # the tests' clock stands at 14:00
            return response

    vendor = TenMinutesAhead(orgs=[row("o", name="O", type="school")])

    [page] = await pages(vendor, "org", since=datetime(2026, 9, 1, 6, tzinfo=UTC))

    assert [asked.get("filter") for _, asked in vendor.asked] == [None, "dateLastModified>'2026-09-01T06:10:00.000Z'"]
    assert page.whole is False


async def test_a_server_that_knows_no_filter_is_read_whole_and_the_engine_is_told_so() -> None:
    class Plain(Vendor):
        async def answer(self, path: str) -> Response:
            if "filter" in request.args:
                self.asked.append((path, request.args.to_dict()))
                return Response("{}", 400, {"Content-Type": "application/json"})
            return await super().answer(path)

    vendor = Plain(orgs=[row("o", name="O", type="school")])

    [page] = await pages(vendor, "org", since=datetime(2026, 9, 1, tzinfo=UTC))

    assert page.whole is True
    assert [record.sourced_id for record in page.records] == ["o"]


async def test_hazard_8_a_server_that_refuses_the_order_or_the_size_is_asked_without() -> None:
    class Strict(Vendor):
        async def answer(self, path: str) -> Response:
            if "sort" in request.args or int(request.args["limit"]) > 100:
                self.asked.append((path, request.args.to_dict()))
                return Response('{"imsx_StatusInfo": "forbidden"}', 400, {"Content-Type": "application/json"})
            return await super().answer(path)

    vendor = Strict(orgs=[row("o", name="O", type="school")], courses=[])
    connector = vendor.connector(page_size=5000)

    found = [page async for page in connector.pull(Pull(noun="org"))]
    before = len(vendor.asked)
    await anext(connector.pull(Pull(noun="course")))

    assert [record.sourced_id for record in found[0].records] == ["o"]
    assert len(vendor.asked) == before + 1
    assert vendor.asked[-1][1] == {"limit": "100", "offset": "0"}


async def test_a_changed_birth_date_alone_brings_the_whole_person() -> None:
    class Changes(Vendor):
        async def answer(self, path: str) -> Response:
            if path == "users" and "filter" in request.args:
                return jsonify({"users": []})
            return await super().answer(path)

    vendor = Changes(users=[user("ana"), user("ben")], demographics=[row("ana", birthDate="2012-02-01")])

    found = [
        record
        for page in await pages(vendor, "user", since=datetime(2026, 9, 1, tzinfo=UTC))
        for record in page.records
        if isinstance(record, User)
    ]

    assert [(one.sourced_id, one.birth_date, len(one.roles)) for one in found] == [("ana", date(2012, 2, 1), 1)]
    assert vendor.asked[-1][0] == "users/ana"


async def test_a_changed_birth_date_of_somebody_we_may_not_see_is_left_alone() -> None:
    class Elsewhere(Vendor):
        async def answer(self, path: str) -> Response:
            return Response("{}", 404) if path == "users/zoe" else await super().answer(path)

    vendor = Elsewhere(users=[], demographics=[row("zoe", birthDate="2012-02-01")])

    found = await pages(vendor, "user", since=datetime(2026, 9, 1, tzinfo=UTC))

    assert [record for page in found for record in page.records] == []


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_one_person_who_cannot_be_read_alone_keeps_no_other_from_being_read(status: int) -> None:
    class Elsewhere(Vendor):
        async def answer(self, path: str) -> Response:
            if path == "users" and "filter" in request.args:
                return jsonify({"users": []})
            return await super().answer(path)

    born = [row(name, birthDate="2012-02-01") for name in ("ana", "ben", "cy", "dee")]
    vendor = Elsewhere({"users/ana": status, "users/cy": status}, users=[user("ben"), user("dee")], demographics=born)
    since = datetime(2026, 9, 1, tzinfo=UTC)

    found = await pages(vendor, "user", since=since)

    assert [record.sourced_id for page in found for record in page.records] == ["ben", "dee"]
    errors = [error for page in found for error in page.errors]
    assert [(error.sourced_id, error.part) for error in errors] == [("ana", True), ("cy", True)]
    assert all("birth date" in error.reason for error in errors)
    vendor.refusals |= dict.fromkeys(("users/ana", "users/ben", "users/cy"), status)
    with pytest.raises(VendorError):  # of several in a row it is the server
        await pages(vendor, "user", since=since)


async def test_in_a_changed_reading_a_person_without_news_of_the_birth_date_keeps_it() -> None:
    vendor = Vendor(users=[user("ana")], demographics=[])

    [page] = await pages(vendor, "user", since=datetime(2026, 9, 1, tzinfo=UTC))

    [ana] = page.records
    assert isinstance(ana, User)
    assert ana.only is not None
    assert "birth_date" not in ana.only


async def test_reading_goes_on_from_a_cursor_and_refuses_one_of_another_connector() -> None:
    vendor = Vendor(orgs=[row(f"o{number}", name="O", type="school") for number in range(5)])
    [page] = await pages(vendor, "org")
    connector = vendor.connector()

    rest = [one async for one in connector.pull(Pull(noun="org", cursor=page.cursor))]

    assert [record for one in rest for record in one.records] == []
    for cursor in ("12:0:0", "[]", "{}", '{"filtered": false, "unknown": 1}'):
        with pytest.raises(SourceError, match="start a new run"):
            await anext(connector.pull(Pull(noun="org", cursor=cursor)))


async def test_collections_may_be_elsewhere() -> None:
    vendor = Vendor(orgs=[row("o", name="O", type="school")])
    connector = vendor.connector(paths={"orgs": "/elsewhere/orgs"})

    vendor.refusals["elsewhere/orgs"] = 404

    with pytest.raises(VendorError, match="/elsewhere/orgs"):
        await anext(connector.pull(Pull(noun="org")))


async def test_a_vendor_s_own_meaning_of_a_row_is_put_right_before_it_is_read() -> None:
    class Prefixed(RestConnector):
        def prepare(self, noun: Noun, row: dict[str, Any]) -> dict[str, Any]:
            return {**row, "sourcedId": f"{noun}-{row['sourcedId']}"}

    vendor = Vendor(users=[user("ana")], demographics=[row("ana", birthDate="2012-01-31")])
    http = SisHttp(services(http=vendor.app), BASE)

    [page] = [one async for one in Prefixed(http).pull(Pull(noun="user"))]

    [ana] = page.records
    assert isinstance(ana, User)
    assert (ana.sourced_id, ana.birth_date) == ("user-ana", date(2012, 1, 31))


async def test_attendance_has_nowhere_to_go() -> None:
    connector = Vendor().connector()
    mark = OutgoingMark(
        key="k",
        student="ana",
        school="s1",
        class_=None,
        school_day=date(2026, 9, 1),
        status="absent",
        recorded_at=datetime(2026, 9, 1, tzinfo=UTC) + timedelta(hours=9),
    )

    [pushed] = await connector.push([mark])

    assert connector.attendance_out == "none"
    assert (pushed.key, pushed.error, pushed.retry) == ("k", "OneRoster takes no attendance", False)

"""The geofence: inside, outside, and what a phone cannot tell."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homeroom import Attempt, Evidence
from homeroom.testing import SESSION, plugin_tests, services
from homeroom_geofence import Circle, Geofence, GeofenceSettings, Polygon
from homeroom_geofence.areas import EARTH_METRES, distance

LAT, LON = 40.7128, -74.0060
HERE = replace(SESSION, methods=("geofence",), school_id="north")
SCHOOL = {"kind": "circle", "lat": LAT, "lon": LON, "radius_m": 200}
YARD = [(LAT, LON), (LAT, LON + 0.002), (LAT + 0.001, LON + 0.002), (LAT + 0.001, LON)]
METRE = 180 / math.pi / EARTH_METRES

TestGeofence = plugin_tests(Geofence, {"areas": {"*": SCHOOL}})


async def hears(proof: dict[str, Any], **settings: Any) -> Evidence | None:
    chosen = GeofenceSettings.model_validate({"areas": {"north": SCHOOL}, **settings})
    plugin = Geofence(chosen, services("geofence", scopes=Geofence.scopes))
    at = datetime(2026, 9, 1, 14, tzinfo=UTC)
    return await plugin.verify_check_in(Attempt(session=HERE, student_id="ann", at=at, proof=proof))


async def says(metres_north: float = 0, accuracy: float = 10, **settings: Any) -> str:
    location = {"lat": LAT + metres_north * METRE, "lon": LON, "accuracy_m": accuracy}
    found = await hears({"location": location}, **settings)
    assert found is not None
    return found.problem or found.verdict.value


@pytest.mark.parametrize(
    ("metres", "accuracy", "expected"),
    [
        (0, 10, "accept"),
        (199, 10, "accept"),
        (205, 10, "review"),
        (215, 10, "outside-area"),
        (50_000, 10, "outside-area"),
        (0, 101, "review"),
        (250, 101, "review"),
        (400, 101, "outside-area"),
        (0, 0, "accept"),
    ],
)
async def test_what_the_accuracy_cannot_tell_is_left_to_a_person(metres: float, accuracy: float, expected: str) -> None:
    assert await says(metres, accuracy) == expected


async def test_a_school_without_an_area_is_left_to_a_person_unless_there_is_one_for_all() -> None:
    assert await says(areas={"south": SCHOOL}) == "review"
    assert await says(areas={"*": SCHOOL}) == "accept"
    assert await says(900, areas={"*": SCHOOL, "north": {**SCHOOL, "radius_m": 1000}}) == "accept"


async def test_it_says_nothing_without_a_location_or_where_it_is_not_asked_for() -> None:
    assert await hears({}) is None
    assert await hears({"code": "123456"}) is None
    plugin = Geofence(GeofenceSettings(), services("geofence"))
    attempt = Attempt(session=SESSION, student_id="ann", at=SESSION.starts_at, proof={"location": {}})
    assert await plugin.verify_check_in(attempt) is None


@pytest.mark.parametrize(
    "location",
    [
        None,
        7,
        [],
        {},
        {"lat": LAT, "lon": LON},
        {"lat": "40", "lon": LON, "accuracy_m": 1},
        {"lat": 91, "lon": LON, "accuracy_m": 1},
        {"lat": LAT, "lon": 181, "accuracy_m": 1},
        {"lat": math.nan, "lon": LON, "accuracy_m": 1},
        {"lat": LAT, "lon": math.inf, "accuracy_m": 1},
        {"lat": LAT, "lon": LON, "accuracy_m": -1},
        {"lat": LAT, "lon": LON, "accuracy_m": math.inf},
        {"lat": True, "lon": LON, "accuracy_m": 1},
    ],
)
async def test_what_is_no_position_counts_as_none(location: Any) -> None:
    found = await hears({"location": location})
    assert found is not None
    assert found.problem == "proof-missing"


async def test_the_evidence_holds_nothing_of_the_position() -> None:
    for metres in (0, 205, 9000):
        found = await hears({"location": {"lat": LAT + metres * METRE, "lon": LON, "accuracy_m": 10}})
        assert found is not None
        assert not any(char.isdigit() for char in found.reason)


_LATS = st.floats(-80, 80)
_LONS = st.floats(-180, 180)


@given(lat=_LATS, lon=_LONS, bearing=st.floats(0, 2 * math.pi), metres=st.floats(1, 2000), radius=st.floats(5, 2000))
def test_a_circle_measures_as_the_crow_flies(
    lat: float, lon: float, bearing: float, metres: float, radius: float
) -> None:
    there = (
        lat + metres * METRE * math.cos(bearing),
        lon + metres * METRE * math.sin(bearing) / math.cos(math.radians(lat)),
    )
    found = Circle(lat=lat, lon=lon, radius_m=radius).metres_outside(*there)
    assert found == pytest.approx(max(0, metres - radius), abs=0.02 * metres + 0.1)


@given(lat=_LATS, lon=_LONS, other_lat=_LATS, other_lon=_LONS)
def test_a_distance_is_the_same_both_ways_and_never_more_than_half_around(
    lat: float, lon: float, other_lat: float, other_lon: float
) -> None:
    there = distance(lat, lon, other_lat, other_lon)
    assert there == pytest.approx(distance(other_lat, other_lon, lat, lon), abs=1e-3)
    assert 0 <= there <= math.pi * EARTH_METRES + 1
    assert distance(lat, lon, lat, lon) == 0


def test_known_distances_are_right() -> None:
    assert distance(52.5200, 13.4050, 48.8566, 2.3522) == pytest.approx(877_460, rel=0.002)  # Berlin to Paris
    assert distance(0, 179.999, 0, -179.999) == pytest.approx(222.4, rel=0.01)


@given(x=st.floats(0.01, 0.99), y=st.floats(0.01, 0.99))
def test_all_that_is_inside_a_polygon_is_inside(x: float, y: float) -> None:
    assert Polygon(points=YARD).metres_outside(LAT + 0.001 * y, LON + 0.002 * x) == 0


@given(metres=st.floats(1, 5000), along=st.floats(0, 1))
def test_outside_a_polygon_the_nearest_edge_counts(metres: float, along: float) -> None:
    found = Polygon(points=YARD).metres_outside(LAT - metres * METRE, LON + 0.002 * along)
    assert found == pytest.approx(metres, rel=0.01)


def test_a_yard_with_a_notch_does_not_hold_the_notch() -> None:
    notched = Polygon(points=[(0, 0), (0, 0.003), (0.003, 0.003), (0.001, 0.0015), (0.003, 0)])
    assert notched.metres_outside(0.0005, 0.0015) == 0
    assert notched.metres_outside(0.0025, 0.0015) > 50


def test_an_area_may_lie_across_the_date_line() -> None:
    across = Polygon(points=[(0, 179.999), (0, -179.999), (0.002, -179.999), (0.002, 179.999)])
    assert across.metres_outside(0.001, 180) == across.metres_outside(0.001, -180) == 0
    assert across.metres_outside(0.001, 179.99) == pytest.approx(1000, rel=0.01)


def test_two_corners_at_one_point_do_no_harm() -> None:
    doubled = Polygon(points=[YARD[0], *YARD])
    assert doubled.metres_outside(LAT - 10 * METRE, LON) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(
    "area",
    [
        {"kind": "circle", "lat": 91, "lon": 0, "radius_m": 1},
        {"kind": "circle", "lat": 0, "lon": 0, "radius_m": 0},
        {"kind": "polygon", "points": [[0, 0], [1, 1]]},
        {"kind": "square"},
        {"kind": "circle", "lat": 0, "lon": 0, "radius_m": 1, "colour": "red"},
    ],
)
def test_an_area_that_makes_no_sense_is_refused_at_the_start(area: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GeofenceSettings.model_validate({"areas": {"north": area}})

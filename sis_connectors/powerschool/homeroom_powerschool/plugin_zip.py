"""What a district installs in PowerSchool: a zip that asks for the columns and brings the queries."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from homeroom_powerschool.columns import all_lines
from homeroom_powerschool.queries import AREA, OURS, Query

VERSION = "1.0"
"""Raise it with every change to the columns or queries: PowerSchool takes a plugin over only under a new version."""

QUERIES = f"queries_root/{AREA}.named_queries.xml"
_TIME = (2026, 1, 1, 0, 0, 0)


def plugin_xml() -> str:
    """The manifest: OAuth, and exactly the columns that are needed."""
    lines = "\n".join(f"    {line}" for line in all_lines())
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<plugin xmlns="http://plugin.powerschool.pearson.com"
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
        xsi:schemaLocation="http://plugin.powerschool.pearson.com plugin.xsd"
        name="Homeroom" version="{VERSION}" description="Rosters to Homeroom, attendance from it">
  <oauth/>
  <access_request>
{lines}
  </access_request>
  <publisher name="Homeroom">
    <contact email="admin@homeroom.example"/>
  </publisher>
</plugin>
"""


def queries_xml() -> str:
    """The PowerQueries."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n<queries>\n' + "".join(map(_query, OURS)) + "</queries>\n"


def write(path: Path) -> None:
    """Write the zip; the same version always gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("plugin.xml", plugin_xml()), (QUERIES, queries_xml())):
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)


def _query(query: Query) -> str:
    args = "".join(
        f"      <arg name={quoteattr(arg.name)}"
        + (f" column={quoteattr(arg.column)}" if arg.column else "")
        + f' type="{arg.kind}" required="true"/>\n'
        for arg in query.args
    )
    columns = "".join(
        f"      <column column={quoteattr(column)}>{escape(name)}</column>\n" for name, column in query.columns
    )
    table = query.columns[0][1].partition(".")[0].lower()
    return f"""  <query name={quoteattr(query.name)} coreTable={quoteattr(table)} flattened="true">
    <description>{escape(query.description)}</description>
    <args>
{args}    </args>
    <columns>
{columns}    </columns>
    <sql><![CDATA[{query.sql}
]]></sql>
  </query>
"""

"""What is made from the code: the job file's schema, and tables of the documentation.

``python -m alphabeam.pipelines.reference`` writes ``configs/job.schema.json`` and the tables of the
pages under ``docs/``. CI runs it, and refuses a change that it makes.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from alphabeam.pipelines.job import SCHEMA_FILE, schema_text
from alphabeam.transforms import errors
from alphabeam.transforms.metadata.schema import COLUMNS, SCHEMA
from alphabeam.transforms.parameters import PARAMETERS
from alphabeam.transforms.rows import Row

__all__ = [
    "column_table",
    "error_table",
    "parameter_table",
    "setting_tables",
    "up_to_date",
    "write",
]


def parameter_table() -> str:
    """The matting parameters as a Markdown table."""
    return _table(
        ("parameter", "values", "default", "the API's name", "meaning"),
        (
            (
                f"`{one.name}`",
                one.bounds or "left,top,right,bottom",
                "none" if one.default is None else f"`{one.default}`".lower(),
                f"`{one.api}`" if one.api else "none",
                one.meaning,
            )
            for one in PARAMETERS
        ),
    )


def column_table() -> str:
    """The metadata's columns as a Markdown table."""
    hints = typing.get_type_hints(Row)

    def type_of(name: str) -> str:
        kind = str(SCHEMA.field(name).type).replace("item: ", "").replace("element: ", "")
        # As code, since a page would take the angle brackets of list<int32> for HTML.
        return f"`{kind}`" + (", null" if type(None) in typing.get_args(hints[name]) else "")

    return _table(
        ("column", "type", "meaning"),
        ((f"`{name}`", type_of(name), COLUMNS[name].meaning) for name in SCHEMA.names),
    )


def error_table() -> str:
    """The error codes with the comments that stand beside them."""
    lines = inspect.getsource(errors.ErrorCode).splitlines()
    rows = ["| code | meaning |", "|---|---|"]
    for line in lines:
        found = re.match(r'    [A-Z_]+ = ("\w+")(?:  # (.*))?$', line)
        if found:
            code = ast.literal_eval(found[1])
            rows.append(f"| `{code}` | {found[2] or code.replace('_', ' ')} |")
    return "\n".join(rows)


def setting_tables() -> str:
    """The job file's settings, a table for each section."""
    schema = json.loads(schema_text())
    out: list[str] = []
    top = []
    for name, field in schema["properties"].items():
        sections = list(_sections(field, schema))
        if not sections:
            top.append(_setting(name, field, name in schema.get("required", ())))
        for section in sections:
            kind = section["properties"].get("kind", {}).get("const")
            title = f"### `{name}`" + (f", `kind: {kind}`" if kind else "")
            rows = [
                _setting(key, value, key in section.get("required", ()))
                for key, value in section["properties"].items()
            ]
            out += [title, "", section.get("description", ""), "", *_setting_table(rows), ""]
            for key, value in section["properties"].items():
                for item in _sections(value.get("items", {}), schema):
                    rows = [_setting(k, v, False) for k, v in item["properties"].items()]
                    head = [f"### `{name}.{key}`, each", "", item.get("description", ""), ""]
                    out += [*head, *_setting_table(rows), ""]
    return "\n".join(["### At the top", "", *_setting_table(top), "", *out])


def _sections(field: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects with settings that a field of the job refers to."""
    for option in [field, *field.get("oneOf", ()), *field.get("anyOf", ())]:
        if "$ref" in option:
            yield schema["$defs"][option["$ref"].rsplit("/", 1)[1]]


def _setting_table(rows: list[str]) -> list[str]:
    return ["| setting | type | default | meaning |", "|---|---|---|---|", *rows]


def _setting(name: str, field: dict[str, Any], required: bool) -> str:
    options = [o for o in field.get("anyOf", [field]) if o.get("type") != "null"]
    option = options[0] if options else field
    if len({o.get("type") for o in options}) > 1:  # a number or a text
        option = {"type": " or ".join(str(o.get("type")) for o in options)}
    if "enum" in option:
        kind = ", ".join(f"`{value}`" for value in option["enum"])
    elif "const" in option:
        kind = f"`{option['const']}`"
    else:
        low = option.get("minimum", option.get("exclusiveMinimum"))
        high = option.get("maximum")
        kind = str(option.get("type", "any"))
        if "enum" in option.get("items", {}):
            kind += " of " + ", ".join(f"`{value}`" for value in option["items"]["enum"])
        if low is not None or high is not None:
            over = "over " if "exclusiveMinimum" in option else ""
            kind += f", {over}{low:,}" + (f" to {high:,}" if high is not None else " or more")
    default = "required" if required else f"`{json.dumps(field.get('default'))}`"
    if "$ref" in field:  # a section, whose own table has the defaults
        kind, default = "mapping", "`{}`"
    meaning = " ".join(str(field.get("description", "")).split()).replace("|", "\\|")
    return f"| `{name}` | {kind} | {default} | {meaning} |"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


TABLES: dict[str, Callable[[], str]] = {
    "columns": column_table,
    "errors": error_table,
    "parameters": parameter_table,
    "settings": setting_tables,
}


def up_to_date(text: str) -> str:
    """A page with its tables made anew, each between its mark and ``<!-- end -->``."""
    return re.sub(
        r"<!-- generated: (\w+) -->.*?<!-- end -->",
        lambda found: f"<!-- generated: {found[1]} -->\n\n{TABLES[found[1]]()}\n\n<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def write(root: Path = SCHEMA_FILE.parent.parent) -> list[Path]:
    """Brings the job file's schema and the pages up to date; gives the files that changed."""
    files = {SCHEMA_FILE: schema_text()}
    for page in sorted((root / "docs").glob("*.md")):
        files[page] = up_to_date(page.read_text(encoding="utf-8"))
    changed = [path for path, text in files.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        path.write_text(files[path], encoding="utf-8")
    return changed


if __name__ == "__main__":
    for path in write():
        print(f"{path} was not current; it is now")

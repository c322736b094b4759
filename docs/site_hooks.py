"""What the documentation site is made of beside the pages in this folder.

mkdocs calls these functions. They take in the pages that live elsewhere in the repository
(CONTRIBUTING, CHANGELOG, the READMEs), and make the tables whose facts live in the code: the job
file's settings from its schema, the matting parameters and the metadata's columns from their
definitions, the error codes from their module.
"""

from __future__ import annotations

import ast
import inspect
import json
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from alphabeam.pipelines.reference import column_table, parameter_table

ROOT = Path(__file__).resolve().parent.parent

# Where the pages from elsewhere stand in the site.
TAKEN_IN = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples.md",
    "renderer/README.md": "renderer.md",
    "samples/README.md": "samples.md",
    "training/README.md": "training.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that live elsewhere in the repository."""
    for source, page in TAKEN_IN.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text, source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills in the generated tables, and turns links that leave this folder into site links."""
    if page.file.src_uri not in TAKEN_IN.values():
        markdown = _relinked(markdown, f"docs/{page.file.src_uri}")
    return re.sub(r"<!-- generated: (\w+) -->", lambda found: _TABLES[found[1]](), markdown)


def _relinked(text: str, source: str) -> str:
    """Markdown whose links between the repository's files are links between the site's pages.

    Args:
        text: The Markdown.
        source: Where it lies in the repository.

    Returns:
        The same, with links to files that are no page of the site reduced to their text.
    """

    def link(found: re.Match[str]) -> str:
        words, path, anchor = found[1], found[2], found[3] or ""
        target = _site_path(posixpath.normpath(f"{posixpath.dirname(source) or '.'}/{path}"))
        if target is None:
            return words.removeprefix("[").removesuffix("]")
        here = _site_path(source) or ""
        return f"{words}({posixpath.relpath(target, posixpath.dirname(here) or '.')}{anchor})"

    return re.sub(r"(!?\[[^\]]*\])\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)", link, text)


def _site_path(path: str) -> str | None:
    """Where a file of the repository stands in the site; None if it is no part of it."""
    if path in TAKEN_IN:
        return TAKEN_IN[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def _settings() -> str:
    """The job file's settings, a table for each section."""
    schema = json.loads((ROOT / "configs/job.schema.json").read_text(encoding="utf-8"))
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
            out += [title, "", section.get("description", ""), "", *_table(rows), ""]
    return "\n".join(["### At the top", "", *_table(top), "", *out])


def _sections(field: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects with settings that a field of the job refers to."""
    for option in [field, *field.get("oneOf", ()), *field.get("anyOf", ())]:
        if "$ref" in option:
            yield schema["$defs"][option["$ref"].rsplit("/", 1)[1]]


def _table(rows: list[str]) -> list[str]:
    return ["| setting | type | default | meaning |", "|---|---|---|---|", *rows]


def _setting(name: str, field: dict[str, Any], required: bool) -> str:
    options = [o for o in field.get("anyOf", [field]) if o.get("type") != "null"]
    option = options[0] if options else field
    if "enum" in option:
        kind = ", ".join(f"`{value}`" for value in option["enum"])
    elif "const" in option:
        kind = f"`{option['const']}`"
    else:
        low = option.get("minimum", option.get("exclusiveMinimum"))
        high = option.get("maximum")
        kind = str(option.get("type", "any"))
        if low is not None or high is not None:
            over = "over " if "exclusiveMinimum" in option else ""
            kind += f", {over}{low:,}" + (f" to {high:,}" if high is not None else " or more")
    default = "required" if required else f"`{json.dumps(field.get('default'))}`"
    meaning = " ".join(str(field.get("description", "")).split()).replace("|", "\\|")
    return f"| `{name}` | {kind} | {default} | {meaning} |"


def _errors() -> str:
    """The error codes with the comments that stand beside them."""
    from alphabeam.transforms import errors

    lines = inspect.getsource(errors.ErrorCode).splitlines()
    rows = ["| code | meaning |", "|---|---|"]
    for line in lines:
        found = re.match(r'    [A-Z_]+ = ("\w+")(?:  # (.*))?$', line)
        if found:
            code = ast.literal_eval(found[1])
            rows.append(f"| `{code}` | {found[2] or code.replace('_', ' ')} |")
    return "\n".join(rows)


_TABLES: dict[str, Callable[[], str]] = {
    "errors": _errors,
    "columns": column_table,
    "parameters": parameter_table,
    "settings": _settings,
}

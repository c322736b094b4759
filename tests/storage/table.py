"""Puts the contract tests' results into docs/storage.md.

ALPHABEAM_STORES_FULL=1 ALPHABEAM_STORES_REPORT=report.json pytest -n 0 tests/storage
python -m tests.storage.table report.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "storage.md"
BEGIN, END = "<!-- contract: begin -->", "<!-- contract: end -->"

# contract test -> what it shows
SHOWS = {
    "names": "names with spaces, `#`, `%20`, `%`, `+`, `&`, `[`, `*`, `::`, non-Latin letters",
    "empty_object": "0-byte objects",
    "large_object": "20 MB objects: whole, size limit, from the middle",
    "many_objects": "so many objects in one folder: listed in full, globbed, read at once",
    "overwriting": "overwriting, with a new version",
    "create": "`create`: of several threads, one makes the object",
    "create_in_two_processes": "`create`: of two processes, one makes the object",
    "killed_writer": "no reader sees a partial object when the writer is killed",
    "second_process": "a second process lists right after a write, both ways",
    "streaming": "a manifest read line by line",
    "globbing": "`*`, `**`, `[ab]`, `?`, folder/",
    "hidden_names": "hidden names are left out by `glob`, unless asked for",
    "sweep": "`sweep`: partial objects of dead writers are removed",
    "catalogue": "manifest, images, masks, ledger and Parquet in one folder",
    "missing_object": "a missing object: `not_found`, at once",
    "missing_bucket": "a missing bucket: `not_found`, at once",
    "denied": "permission denied: `access_denied`, at once",
    "wrong_credentials": "wrong credentials: `access_denied`, no secret in the line",
}


def table(results: dict[str, dict[str, str]]) -> str:
    """Markdown: what holds for each store, then why something does not apply, then the servers."""
    stores = list(results)
    lines = [
        "| | " + " | ".join(stores) + " |",
        "|---|" + "---|" * len(stores),
    ]
    notes: dict[str, list[str]] = {}
    for test, shown in SHOWS.items():
        cells = []
        for store in stores:
            outcome = results[store].get(test, "not run")
            if outcome == "passed":
                cells.append(results[store]["many"] if test == "many_objects" else "yes")
            elif outcome == "failed":
                cells.append("**no**")
            else:
                cells.append("-")
                notes.setdefault(f"{test.replace('_', ' ')}: {outcome}", []).append(store)
        lines.append(f"| {shown} | " + " | ".join(cells) + " |")
    lines += ["", "-: does not apply. " + "; ".join(
        f"{', '.join(names)}: {note.partition(': ')[2]} ({note.partition(': ')[0]})"
        for note, names in notes.items()
    ) + "."]  # fmt: skip
    lines += ["", "| store | the server that was tested |", "|---|---|"]
    lines += [f"| {store} | `{results[store].get('command', '')}` |" for store in stores]
    return "\n".join(lines)


def main() -> None:
    """Rewrites what stands between the two marks of the document."""
    results: dict[str, dict[str, str]] = {}
    for path in sys.argv[1:]:
        for store, found in json.loads(Path(path).read_text()).items():
            results.setdefault(store, {}).update(found)
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    DOCUMENT.write_text(f"{head}{BEGIN}\n{table(results)}\n{END}{tail}")


if __name__ == "__main__":
    main()

"""What the documentation site is made of beside the pages in this folder.

mkdocs calls these functions. They take in the pages that live elsewhere in the repository
(CONTRIBUTING, CHANGELOG, the READMEs).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

# Where the pages from elsewhere are in the site.
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
    """Turns links that leave this folder into links of the site."""
    if page.file.src_uri not in TAKEN_IN.values():
        markdown = _relinked(markdown, f"docs/{page.file.src_uri}")
    return markdown


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
    """Where a file of the repository is in the site; None if it is no part of it."""
    if path in TAKEN_IN:
        return TAKEN_IN[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else None

"""What executed notebooks show, as one HTML page: no script, no network, no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

_HEADING = re.compile(r"<(/?)h([1-5])\b")
_ID = re.compile(r'(\bid="|href="#|url\(#)')


def page(manifest: Mapping[str, Any], notebooks: Mapping[str, Any]) -> str:
    """The page of a run from its executed notebooks, in their order."""
    scenario = manifest.get("scenario", {})
    package = files("harness.report")
    return Template((package / "page.html").read_text(encoding="utf-8")).substitute(
        style=(package / "page.css").read_text(encoding="utf-8"),
        title=escape(f"{scenario.get('name', 'run')} · {manifest.get('run', '')}"),
        name=escape(str(scenario.get("name", "run"))),
        description=escape(str(scenario.get("description", "")).strip()),
        run=escape(str(manifest.get("run", ""))),
        started=escape(str(manifest.get("started_at", ""))[:16].replace("T", " ")),
        sections="\n".join(_section(name, notebook) for name, notebook in notebooks.items()),
    )


def _section(name: str, notebook: Any) -> str:
    """A section a notebook; identifiers inside figures are made unique on the page."""
    pieces = []
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            pieces.append(_demoted(_prose(cell.source)))
        elif cell.cell_type == "code":
            pieces.append(_shown(cell.outputs, f"{name}-{place}"))
    body = "\n".join(filter(None, pieces))
    return f'<section id="{escape(name)}">\n{body}\n</section>'


def _prose(text: str) -> str:
    renderer = IPythonRenderer(escape=True, exclude_anchor_links=True)
    return str(MarkdownWithMath(renderer=renderer).render(text))


def _demoted(html: str) -> str:
    """The page has a title of its own above the notebooks' titles."""
    return _HEADING.sub(lambda found: f"<{found[1]}h{int(found[2]) + 1}", html)


def _shown(outputs: Any, prefix: str) -> str:
    """The outputs of a cell, figures side by side where there is room."""
    pieces = list(_pieces(outputs, prefix))
    return f'<div class="shown">{"".join(pieces)}</div>' if pieces else ""


def _pieces(outputs: Any, prefix: str) -> Iterator[str]:
    for place, output in enumerate(outputs):
        data = output.get("data", {})
        if "image/svg+xml" in data:
            unique = _ID.sub(rf"\g<1>{prefix}-{place}-", data["image/svg+xml"])
            yield f"<figure>{unique}</figure>"
        elif "text/html" in data:
            yield f'<div class="text">{data["text/html"]}</div>'
        elif output.get("name") == "stdout":
            yield f"<pre>{escape(output['text'])}</pre>"

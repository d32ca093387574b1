"""The description of a door as one page: no script, nothing from elsewhere.

In: an OpenAPI document. Out: HTML. Everything that comes from the wiring is escaped; the policy allows one style
sheet, by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html as text
import json
from collections.abc import Iterator, Mapping
from typing import Any

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h2{border-bottom:1px solid}pre{overflow:auto;padding:.5rem;border:1px solid}code{font-size:.95em}"
)
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def html(document: Mapping[str, Any]) -> str:
    """The page."""
    info = document["info"]
    body = "".join([*_operations(document["paths"]), *_schemas(document["components"]["schemas"])])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_safe(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{_safe(info['title'])} {_safe(info['version'])}</h1><p>{_safe(info['description'])}. "
        f'The same for machines: <a href="/openapi.json">openapi.json</a></p>{body}</body></html>'
    )


def _safe(value: object) -> str:
    return text.escape(str(value))


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, said in methods.items():
            yield f"<h2><code>{method.upper()} {_safe(path)}</code></h2>"
            yield f"<p>{_safe(said['summary'])}. {_safe(said.get('description', ''))}</p><ul>"
            for each in said["parameters"]:
                about = _safe(each.get("description", ""))
                yield f"<li><code>{_safe(each['name'])}</code> ({_safe(each['in'])}) {about}</li>"
            for media, body in said.get("requestBody", {}).get("content", {}).items():
                yield f"<li>body <code>{_safe(media)}</code> {_link(body['schema'])}</li>"
            yield f"</ul><p>Answers: {_safe(', '.join(sorted(said['responses'])))}</p>"


def _link(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f'<a href="#{_safe(name)}">{_safe(name)}</a>' if name else ""


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    yield "<h1>Schemas</h1>"
    for name, schema in schemas.items():
        shown = _safe(json.dumps(schema, indent=1, ensure_ascii=False))
        yield f'<h2 id="{_safe(name)}">{_safe(name)}</h2><pre tabindex="0">{shown}</pre>'

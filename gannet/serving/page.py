"""The page /docs: the endpoints as OpenAPI has them, in plain HTML that loads nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

FILLED = "for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name)"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #bbb;padding:.3rem .8rem .3rem 0;text-align:left}"
    "img{image-rendering:pixelated;min-width:12rem}label{margin-right:1rem}input{width:6rem}"
)


def page(openapi: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The page, with a form that asks for images."""
    title = escape(openapi["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{STYLE}</style></head>",
        f"<body><h1>{title}</h1><table>{''.join(rows(facts))}</table>",
    ]
    for path, methods in openapi["paths"].items():
        for method, endpoint in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(endpoint.get('description', ''))}</p>")
            parts += parameters(endpoint.get("parameters", []))
            parts.append(f"<table>{''.join(answers(endpoint['responses']))}</table>")
            if endpoint.get("parameters"):
                parts.append(form(path, endpoint["parameters"]))
    parts.append('<p>The same for programs: <a href="/openapi.json">/openapi.json</a></p></body></html>')
    return "\n".join(parts)


def rows(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, value in facts.items():
        text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
        yield f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(text)}</td></tr>"


def parameters(found: list[Mapping[str, Any]]) -> Iterator[str]:
    """A table of what an endpoint takes."""
    if not found:
        return
    yield "<table><tr><th>parameter</th><th>kind</th><th>without it</th><th></th></tr>"
    for each in found:
        cells = each["name"], kind(each["schema"]), str(each["schema"].get("default", "")), each.get("description", "")
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def kind(schema: Mapping[str, Any]) -> str:
    """The type of a parameter in words."""
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if "anyOf" in schema:
        return " or ".join(kind(each) for each in schema["anyOf"] if each.get("type") != "null")
    least = f", at least {schema['minimum']}" if "minimum" in schema else ""
    return f"{schema.get('type', '')}{least}"


def answers(responses: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in responses.items():
        kinds = ", ".join(answer.get("content", {}))
        yield f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}</td><td>{escape(kinds)}</td></tr>"


def form(path: str, found: list[Mapping[str, Any]]) -> str:
    """Fields for all parameters, and what comes of them; those that are left empty are not sent."""
    fields = "".join(f"<label>{escape(each['name'])} {field(each)}</label>" for each in found)
    return (
        f'<form action="{escape(path)}" onformdata="{escape(FILLED)}">{fields}<button>ask</button></form>'
        f'<p><img src="{escape(path)}" alt=""></p>'
    )


def field(parameter: Mapping[str, Any]) -> str:
    """Where a parameter is written or chosen."""
    name, schema = escape(parameter["name"]), parameter["schema"]
    if "enum" in schema:
        return (
            f'<select name="{name}">{"".join(f"<option>{escape(word)}</option>" for word in schema["enum"])}</select>'
        )
    default = schema.get("default")
    return f'<input name="{name}" value="{escape("" if default is None else str(default))}">'

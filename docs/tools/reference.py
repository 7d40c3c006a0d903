"""Write docs/api.md from docstrings: python docs/tools/reference.py

What a caller of the endpoints or of the package needs; `make docs` makes a site of all docstrings besides. What each setting
takes is said once, in the README's table, and found there.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import fields
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from switchboard.settings import Settings  # noqa: E402

PACKAGE = ROOT / "src" / "switchboard"
PAGE = ROOT / "docs" / "api.md"

HEAD = """# Reference

Made from the docstrings by [tools/reference.py](tools/reference.py) (`make docs`); a test fails while it is not what they say.
`make docs` also makes a site of every docstring there is, in `docs/html`.
"""
ENDPOINTS = """## Over HTTP

Gradio serves each endpoint to its clients in Python and JavaScript, to MCP clients at `/gradio_api/mcp/`, and to anybody who
asks twice: once to join the queue, once for the result.

```
curl -s -X POST http://127.0.0.1:7860/gradio_api/call/search -H 'Content-Type: application/json' -d '{"data": ["early exit fee", 3]}'
curl -sN http://127.0.0.1:7860/gradio_api/call/search/EVENT_ID
```

What cannot be answered comes back as an error whose message is a plain sentence. Beside these, for whoever runs it: `GET /health`,
whether the process answers; `GET /ready`, 200 once model and index are there, else 503 with what is missing; and
`GET /metrics`, figures for Prometheus.
"""
SETTINGS = """## Settings

From the environment, all of them optional; a value out of its range stops the start with a sentence that says what it takes.

| variable | unless set | |
| --- | --- | --- |
"""
VALUES = """## Values

Frozen, and built from the standard library alone; `from switchboard.types import ...`.
"""
PROTOCOLS = """## Protocols

What a backend has to be; [CONTRIBUTING](../CONTRIBUTING.md) has a worked example of the first.
"""
PROGRAM = """## The program

`build` makes a running program of settings; its `switchboard` answers.

```python
from switchboard.build import build
from switchboard.settings import Settings
from switchboard.types import Message

running = build(Settings.from_environment(), print)
for answer in running.switchboard.answer([Message("user", "How much is Fibre 500?")], "rag"):
    print(answer.text)
```
"""


def parsed(name: str) -> ast.Module:
    """A module of the package."""
    return ast.parse((PACKAGE / name).read_text(encoding="utf-8"))


def unparsed(node: ast.AST) -> str:
    """Its code in a line, with the quotes that ruff likes."""
    return re.sub(r"'([^'\"]*)'", r'"\1"', ast.unparse(node))


def page() -> str:
    """The whole reference."""
    types = [node for node in parsed("types.py").body if isinstance(node, ast.ClassDef)]
    protocols = [node for node in types if any(unparsed(base) == "Protocol" for base in node.bases)]
    switch = [node for node in parsed("switch.py").body if getattr(node, "name", "") == "Switchboard"]
    build = [node for node in parsed("build.py").body if getattr(node, "name", "") in ("build", "Running")]
    endpoints = [node for node in ast.walk(parsed("ui/api.py")) if getattr(node, "name", "") in ("chat", "search")]
    return "\n".join(
        [
            HEAD,
            ENDPOINTS,
            *(_endpoint(node) for node in endpoints if isinstance(node, ast.FunctionDef)),
            SETTINGS + _settings(),
            VALUES,
            *(_class(node) for node in types if node not in protocols),
            PROTOCOLS,
            *(_class(node) for node in protocols),
            PROGRAM,
            *(
                _class(node) if isinstance(node, ast.ClassDef) else _function(node, "### ")
                for node in (*switch, *build)
            ),
            _errors(),
        ]
    )


def variables() -> list[str]:
    """The variables that Settings reads, in the order of its code."""
    source = (PACKAGE / "settings.py").read_text(encoding="utf-8")
    return list(dict.fromkeys(re.findall(r'"(SWITCHBOARD_[A-Z_]+|HOST|PORT)"', source)))


def said_in_readme() -> dict[str, str]:
    """Variable -> its row of the README's table."""
    said: dict[str, str] = {}
    rows = re.findall(r"^\| ([^|]+) \| (.*) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    for what, how in rows:
        for name in re.findall(r"`(SWITCHBOARD_[A-Z_]+|HOST|PORT)`", how):
            links = re.sub(r"\]\((?!https?:)", "](../", re.sub(rf"^`{name}`: ", "", how))
            said.setdefault(name, f"{what}: {links}")
    return said


def _settings() -> str:
    said = said_in_readme()
    if unsaid := [name for name in variables() if name not in said]:
        raise ValueError(f"The README's table does not say what {', '.join(unsaid)} take.")
    defaults = {field.name.upper(): getattr(Settings.from_environment({}), field.name) for field in fields(Settings)}
    rows = []
    for name in variables():
        default = defaults.get(name.removeprefix("SWITCHBOARD_"))
        if isinstance(default, Path):
            default = default.relative_to(ROOT)
        shown = f"`{default}`" if isinstance(default, str | int | Path) and str(default) else ""
        rows.append(f"| `{name}` | {shown} | {said[name]} |\n")
    return "".join(rows)


def _endpoint(node: ast.FunctionDef) -> str:
    text = ast.get_docstring(node) or ""
    what, _, rest = text.partition("\n\nArgs:\n")
    arguments, _, returned = rest.partition("\n\nReturns:\n")
    said = dict(re.findall(r"^ {4}(\w+): (.+)$", arguments, re.MULTILINE))
    defaults = [None] * (len(node.args.args) - len(node.args.defaults)) + [unparsed(d) for d in node.args.defaults]
    rows = "".join(
        f"| `{argument.arg}` | `{unparsed(argument.annotation).replace('|', chr(92) + '|') if argument.annotation else ''}` "
        f"| {f'`{default}`' if default else 'needed'} | {said[argument.arg]} |\n"
        for argument, default in zip(node.args.args, defaults, strict=True)
        if argument.arg in said  # Gradio itself gives the request
    )
    table = f"| | type | unless given | |\n| --- | --- | --- | --- |\n{rows}"
    return f"### `/{node.name}`\n\n{what}\n\n{table}\nReturns: {' '.join(dedent(returned).split())}\n"


def _class(node: ast.ClassDef) -> str:
    given = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    parts = [f"### {node.name}\n", f"{ast.get_docstring(node)}\n"]
    if given:
        lines = "".join(f"{unparsed(one)}\n" for one in given)
        parts.append(f"```python\n{lines}```\n")
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            parts.append(_function(one, "- "))
    return "\n".join(parts)


def _function(node: ast.AST, mark: str) -> str:
    assert isinstance(node, ast.FunctionDef)
    text = ast.get_docstring(node) or ""
    if any(unparsed(decorator) == "property" for decorator in node.decorator_list):
        return f"{mark}**{node.name}** -> `{_plain(node.returns)}`\n\n{_indented(text, mark)}\n"
    arguments = ", ".join(_plain(one) for one in unparsed(node.args).split(", ") if one != "self")
    heading = (
        f"{mark}{node.name}\n\n`{node.name}({arguments})" if mark == "### " else f"{mark}`{node.name}({arguments})"
    )
    return f"{heading} -> {_plain(node.returns)}`\n\n{_indented(text, mark)}\n"


def _plain(node: ast.AST | str | None) -> str:
    return node if isinstance(node, str) else unparsed(node) if node else "None"


def _indented(text: str, mark: str) -> str:
    return text if mark == "### " else "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def _errors() -> str:
    text = ast.get_docstring(parsed("errors.py")) or ""
    said, _, tree = text.partition("\n\n")
    return f"## Errors\n\n{said}\n\n```\n{tree}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

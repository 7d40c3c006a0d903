"""The parts of the page that never change while it is open, as HTML."""

from __future__ import annotations

from collections.abc import Iterable

from switchboard.modes import DEFAULT_MODE, MODES
from switchboard.ui.markup import plain

PAGES = {"": "Chat", "compare": "Compare", "change": "Change a fact", "results": "Results", "choose": "Which one?"}
"""The pages: their paths below the app's root, and their names."""


def masthead(company: str, login: bool) -> str:
    """The head of the chat: the name, the way to the other pages, and what opens the drawers."""
    place = "for you alone, here and in this browser" if login else "in this browser only"
    return (
        head_of("", company)
        + '<nav class="tools" aria-label="Conversation and settings">'
        + _tool("conversations", "Conversations", expands="conversations")
        + _tool("new", "New conversation", short="New")
        + _tool("documents", "Documents", expands="documents")
        + _tool("export", "Export", expands="export-menu")
        + _tool("settings", "Settings", expands="settings")
        + _tool("about", "About", expands="about")
        + '<div id="export-menu" class="menu" hidden>'
        '<button type="button" data-action="export" data-format="md">As Markdown</button>'
        '<button type="button" data-action="export" data-format="json">As JSON</button></div></nav>'
        '<aside id="conversations" class="drawer left" role="dialog" aria-label="Conversations" hidden>'
        + drawer_head("Conversations")
        + '<ul id="conversation-list"></ul>'
        f'<p class="drawer-note">Kept {place}, the latest twenty.</p></aside>'
        '<div id="announcer" class="sr-only" role="status" aria-live="polite"></div>'
    )


def head_of(here: str, company: str) -> str:
    """The name and the way to the other pages: the whole head of a page other than the chat."""
    links = "".join(
        f'<a href="./{path}"{" aria-current=page" if path == here else ""}>{name}</a>' for path, name in PAGES.items()
    )
    return (
        '<div class="brand"><h1 class="wordmark"><span class="mark" aria-hidden="true"><i></i></span>'
        f'Switchboard</h1><nav class="pages" aria-label="Pages">{links}</nav>'
        f'<p class="tagline"><span class="company">{plain(company)}</span> '
        "One small model, two ways to know things</p></div>"
    )


def drawer_head(title: str) -> str:
    """The head of a drawer: its name, and what closes it."""
    return f'<header class="drawer-head"><h2>{title}</h2>{_close()}</header>'


def summaries() -> str:
    """The plain line of each path; the page shows the chosen one's."""
    lines = "".join(
        f'<p data-mode="{mode.name}"{"" if mode.name == DEFAULT_MODE else " hidden"}>{plain(mode.summary)}</p>'
        for mode in MODES.values()
        if mode.in_chat
    )
    return f'<div aria-live="polite">{lines}</div>'


def about(lines: Iterable[tuple[str, str]], user: str = "") -> str:
    """What runs here: model, device, adapters, index; and who has logged in, where somebody has."""
    rows = "".join(f"<div><dt>{plain(name)}</dt><dd>{plain(value)}</dd></div>" for name, value in lines)
    return (
        '<aside id="about" class="drawer right" role="dialog" aria-label="About this model" hidden>'
        f'{drawer_head("About this model")}<dl class="about">{rows}</dl>{_logged_in(user)}'
        '<p class="drawer-note">Other programs can ask too: <a href="?view=api">the API and the MCP tools</a>.'
        "</p></aside>"
    )


def dialog() -> str:
    """The dialog that whole articles open in."""
    return (
        '<dialog id="article" aria-labelledby="article-title"><div class="article-bar">'
        '<button type="button" class="close" data-action="close-article" aria-label="Close the article">'
        '<i class="icon icon-close" aria-hidden="true"></i></button></div>'
        '<div id="article-body" tabindex="0"></div></dialog>'
    )


def _logged_in(user: str) -> str:
    if not user:
        return ""
    return (
        f'<p class="drawer-note">You are logged in as {plain(user)}. '
        '<a href="./logout?all_session=false">Log out</a></p>'
    )


def _tool(action: str, label: str, expands: str = "", short: str = "") -> str:
    controls = f' aria-expanded="false" aria-controls="{expands}"' if expands else ""
    return (
        f'<button type="button" class="tool" data-action="{action}"{controls} title="{label}" aria-label="{label}">'
        f'<i class="icon icon-{action}" aria-hidden="true"></i><span>{short or label}</span></button>'
    )


def _close() -> str:
    return (
        '<button type="button" class="close" data-action="close-drawer" aria-label="Close">'
        '<i class="icon icon-close" aria-hidden="true"></i></button>'
    )

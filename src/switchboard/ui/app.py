"""The page: its parts, and which event of them does what. `create_app` builds it, `launch_options` starts it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from fastapi.responses import PlainTextResponse

from switchboard.feedback import FeedbackStore
from switchboard.files import is_of_the_disk
from switchboard.modes import DEFAULT_MODE, MODES
from switchboard.retrieval.formats import MAX_BYTES
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import LIMITS, Answer, GenerationSettings, Message, Retriever, SearchResult
from switchboard.ui.advice import advice_page, verdict
from switchboard.ui.api import add_api
from switchboard.ui.change import change_page
from switchboard.ui.chat import AnswerFunction, ChatEvents, Parts, memory_of
from switchboard.ui.compare import compare_page
from switchboard.ui.conversation import from_json, new_conversation
from switchboard.ui.documents import Index, documents_drawer
from switchboard.ui.export import as_json, as_markdown
from switchboard.ui.frame import about, dialog, drawer_head, head_of, masthead, summaries
from switchboard.ui.render import transcript
from switchboard.ui.results import behind, read_report, results
from switchboard.ui.sources import article, sources_panel
from switchboard.ui.theme import SwitchboardTheme, tokens_css

_FOLDER = Path(__file__).parent
_LIST = '${value.join("")}'
"""The template of a component whose value is a list of HTML strings: only those that changed travel."""
_MODEL = "model"
_CONCURRENT_ANSWERS = 16
"""How many turns may be under way: one is being generated, the others search and wait for it."""
_LONGEST_LINE = 64
"""How many turns may wait; whoever comes after them is told to try again."""
_DEFAULTS = GenerationSettings()
_log = logging.getLogger(__name__)


class Running(Protocol):
    """What the page is built over."""

    @property
    def switchboard(self) -> Switchboard: ...
    @property
    def index(self) -> Index: ...
    @property
    def about(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def ready(self) -> bool: ...


def create_app(running: Running, answer: AnswerFunction | None = None) -> gr.Blocks:
    """Build the page over a Switchboard, which may still be loading: only what a visitor does waits for it.

    `answer` takes the place of the Switchboard's own where that has to be wrapped.
    """

    def own(
        conversation: Sequence[Message], mode: str, settings: GenerationSettings, retriever: Retriever | None = None
    ) -> Iterator[Answer]:
        return running.switchboard.over(retriever).answer(conversation, mode, settings)

    def search(query: str, k: int) -> SearchResult:
        return running.switchboard.retriever.search(query, k)

    answer = answer or own
    company = running.settings.company
    with gr.Blocks(title=f"Switchboard · {company}", analytics_enabled=False, fill_width=True) as app:
        gr.HTML(masthead(company), elem_id="masthead", **_bare("masthead"))
        with gr.Row(elem_id="workbench"):
            with gr.Column(elem_id="chat"):
                shown = gr.HTML(
                    transcript(new_conversation(), company),
                    html_template=_LIST,
                    elem_id="transcript",
                    **_bare("transcript", "ask_example", "retry", "undo", "edit", "rate"),
                )
                mode, question, ask, stop = _composer()
            sources = gr.HTML(
                sources_panel(new_conversation()), html_template=_LIST, elem_id="sources", **_bare("sources")
            )
        sliders = _drawer()
        owning, owned = documents_drawer(running, _bare)
        what_runs = gr.HTML(about([]), elem_id="about-holder", **_bare("about"))
        # Not as the component's own value: that would make an endpoint, and a tool, of the public API.
        app.load(lambda: about(running.about), None, what_runs, show_progress="hidden", api_visibility="private")
        gr.HTML(dialog(), elem_id="dialog-holder", server_functions=[_article_of(running), export], **_bare("dialog"))
        memory = gr.HTML(
            memory_of(new_conversation()), html_template="", elem_id="memory", **_bare("memory", "restore")
        )
        parts = Parts(shown, sources, memory, gr.State(None), question, mode)
        events = ChatEvents(parts, answer, FeedbackStore(running.settings.data / "feedback.sqlite"), running)
        _connect(events, parts, ask, stop, [*sliders, owned.mine])
        app.load(owning.show, [owned.mine], [owned.listed], show_progress="hidden", api_visibility="private")
        add_api(answer, search, _MODEL, _CONCURRENT_ANSWERS)
    with app.route("Compare", "/compare") as compare:
        gr.HTML(head_of("compare", company), elem_id="masthead", **_bare("masthead"))
        html = {"board": {"html_template": _LIST, **_bare("board", "vote")}, "tally": _bare("tally")}
        queue = {"concurrency_id": _MODEL, "concurrency_limit": _CONCURRENT_ANSWERS}
        compared, votes = compare_page(answer, running, html, queue)
        compare.load(compared.tally, None, votes, show_progress="hidden", api_visibility="private")
    with app.route("Change a fact", "/change") as change:
        gr.HTML(head_of("change", company), elem_id="masthead", **_bare("masthead"))
        changing, shown = change_page(answer, running, html["board"], queue)
        change.load(changing.open_first, None, shown, show_progress="hidden", api_visibility="private")
    report = read_report(running.settings.report, also=lambda report: verdict(report, {}, {}))
    with app.route("Results", "/results"):
        _results_page(company, report)
    with app.route("Which one?", "/choose"):
        gr.HTML(head_of("choose", company), elem_id="masthead", **_bare("masthead"))
        advice_page(report, _bare("verdict"))
    app.queue(default_concurrency_limit=_CONCURRENT_ANSWERS, max_size=_LONGEST_LINE)
    return app


def _results_page(company: str, report: Mapping[str, Any] | None) -> None:
    def questions(request: dict[str, Any]) -> str:
        """The questions behind a bar, as HTML."""
        return behind(report, str(request.get("mode")), str(request.get("about")))

    gr.HTML(head_of("results", company), elem_id="masthead", **_bare("masthead"))
    gr.HTML(results(report), elem_id="page", server_functions=[questions], **_bare("results"))


def launch_options(settings: Settings) -> dict[str, Any]:
    """Everything that `Blocks.launch` needs: the look, the address, and what is switched off."""
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    return {
        "theme": SwitchboardTheme(),
        "css": tokens_css() + (_FOLDER / "page.css").read_text(encoding="utf-8"),
        "head": f"<script>{script}</script>",
        "server_name": settings.host,
        "server_port": settings.port,
        "mcp_server": True,
        "allowed_paths": [],
        "max_file_size": MAX_BYTES,
        "app_kwargs": {"exception_handlers": {OSError: _no_room}},
        "ssr_mode": False,
        "show_error": False,
        "share": False,
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": [],
    }


def _no_room(_request: Any, error: OSError) -> PlainTextResponse:
    """What a visitor is told whose file the server's disk cannot take; any other error goes its way."""
    if not is_of_the_disk(error):
        raise error
    _log.error("An upload could not be stored: %s", error)
    return PlainTextResponse("There is no room for files here just now. Please try again later.", 507)


def export(request: dict[str, Any]) -> str:
    """A conversation that the browser sends, as the text of a file; nothing is written here."""
    conversation = from_json(request.get("conversation"))
    return as_markdown(conversation) if request.get("format") == "md" else as_json(conversation)


def _article_of(running: Running) -> Callable[[dict[str, Any]], str]:
    def open_article(request: dict[str, Any]) -> str:
        """An article as HTML with the passage from `start` to `end` marked."""
        return article(running.index.document(str(request["source"])), int(request["start"]), int(request["end"]))

    return open_article


def _bare(name: str, *events: str) -> dict[str, Any]:
    """What all our HTML components share: no style of Gradio's, and a line that hands them to page.js."""
    listed = ", ".join(f"'{event}'" for event in events)
    connect = f"switchboard.connect('{name}', {{element, trigger, props, server, watch, events: [{listed}]}});"
    return {"js_on_load": connect, "apply_default_css": False, "container": False, "padding": False}


def _composer() -> tuple[Any, Any, Any, Any]:
    """The switch, the question and its buttons."""
    with gr.Column(elem_id="composer"):
        with gr.Row(elem_id="switch-row"):
            choices = [(mode.label, mode.name) for mode in MODES.values() if mode.in_chat]
            mode = gr.Radio(
                choices, value=DEFAULT_MODE, label="Answer with", elem_id="switch", container=False, interactive=True
            )
            gr.HTML(summaries(), elem_id="summary", **_bare("summary"))
        with gr.Row(elem_id="ask-row"):
            question = gr.Textbox(
                label="Your question",
                placeholder="Ask a question",
                lines=1,
                max_lines=6,
                show_label=False,
                container=False,
                autofocus=True,
                elem_id="question",
            )
            ask = gr.Button("Ask", elem_id="ask", variant="primary", min_width=0)
            stop = gr.Button("Stop", elem_id="stop", variant="secondary", min_width=0)
    return mode, question, ask, stop


def _drawer() -> list[Any]:
    """The settings: three sliders and the way back to their defaults."""
    with gr.Column(elem_id="settings"):
        gr.HTML(drawer_head("Settings"), **_bare("settings"))
        sliders = [
            _slider(
                "passages", "Passages", "How many passages the model may read. More covers more, and takes longer.", 1
            ),
            _slider(
                "temperature",
                "Temperature",
                "Where answers are free: at 0 the same each time, higher is less exact.",
                0.1,
            ),
            _slider(
                "max_tokens", "Answer length", "The most tokens an answer may have. A token is about ¾ of a word.", 16
            ),
        ]
        reset = gr.Button("Reset to defaults", elem_id="reset", size="sm")
    reset.click(
        lambda: [getattr(_DEFAULTS, name) for name in LIMITS], None, sliders, queue=False, api_visibility="private"
    )
    return sliders


def _slider(name: str, label: str, info: str, step: float) -> Any:
    low, high = LIMITS[name]
    value = getattr(_DEFAULTS, name)
    return gr.Slider(low, high, value, step=step, label=label, info=info, elem_id=f"setting-{name}", buttons=[])


def _connect(events: ChatEvents, parts: Parts, ask: Any, stop: Any, told: list[Any]) -> None:
    """Say which event runs which handler. Whatever answers is followed by `generate`, which alone waits in line and is
    `told` the settings and the visitor's documents."""
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    shown = parts.transcript
    starts = [
        gr.on(
            [ask.click, parts.question.submit],
            events.ask,
            [parts.question, parts.mode, parts.memory],
            parts.all(),
            **quiet,
        ),
        shown.ask_example(events.ask_example, [parts.mode, parts.memory], parts.all(), **quiet),
        shown.retry(events.retry, [parts.mode, parts.memory], parts.all(), **quiet),
        shown.edit(events.edit, [parts.mode, parts.memory], parts.all(), **quiet),
    ]
    for start in starts:
        start.then(
            events.generate,
            [parts.live, *told],
            parts.all(),
            concurrency_id=_MODEL,
            concurrency_limit=_CONCURRENT_ANSWERS,
            show_progress="hidden",
            api_visibility="private",
        )
    stop.click(events.stop, [parts.live], parts.all(), **quiet)
    # In the queue, so that what it shows comes down the same stream as the frames of the answer, and after them.
    last = {**quiet, "queue": True, "concurrency_limit": None}
    parts.memory.restore(events.open, [parts.memory, parts.live], parts.all(), **last)
    parts.mode.change(None, [parts.mode], None, js="(mode) => { switchboard.setMode(mode); }", **quiet)
    shown.undo(events.undo, [parts.memory], parts.all(), **quiet)
    shown.rate(events.rate, [parts.memory], parts.all(), **quiet)

"""The four modes, as data: whether an adapter is on, and whether passages are in the prompt.

    | mode       | adapter          | passages |
    | base       | none             | no       |
    | fine-tuned | customer-service | no       |
    | rag        | reader           | yes      |
    | combined   | customer-service | yes      |

A new mode is one more row.
"""

from __future__ import annotations

from dataclasses import dataclass

from switchboard.errors import SettingsError


@dataclass(frozen=True)
class Mode:
    """One way to answer.

    `needs_adapter` is False where the mode also works, less well, on the untouched base. `in_chat` puts it on
    the chat's switch. `summary` is the plain line beside the switch.
    """

    name: str
    label: str
    adapter: str | None
    searches: bool
    needs_adapter: bool
    in_chat: bool
    summary: str


MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode(
            name="base",
            label="Base model",
            adapter=None,
            searches=False,
            needs_adapter=False,
            in_chat=False,
            summary="The small model as it came: no training on our dialogues, no documents.",
        ),
        Mode(
            name="fine-tuned",
            label="Fine-tuned",
            adapter="customer-service",
            searches=False,
            needs_adapter=True,
            in_chat=True,
            summary="Answers from memory, in the company's voice. Quick, but frozen at training and without sources.",
        ),
        Mode(
            name="rag",
            label="RAG",
            adapter="reader",
            searches=True,
            needs_adapter=False,
            in_chat=True,
            summary="Looks the question up in the help centre first and cites what it found. Current, but slower.",
        ),
        Mode(
            name="combined",
            label="Combined",
            adapter="customer-service",
            searches=True,
            needs_adapter=True,
            in_chat=True,
            summary="The company's voice over passages from the help centre: both at once, at the cost of both.",
        ),
    )
}

ABLATION = Mode(
    name="rag-without-reader",
    label="RAG, untuned",
    adapter=None,
    searches=True,
    needs_adapter=False,
    in_chat=False,
    summary="Passages for the model as it came: what is left of RAG without its reader adapter.",
)
"""What only the report measures: a mode with a part taken away. Nobody can ask for it by name."""

DEFAULT_MODE = "rag"


def mode_named(name: str) -> Mode:
    """Look a mode up. Raises SettingsError that lists the names there are."""
    try:
        return MODES[name]
    except KeyError:
        raise SettingsError(f"There is no mode '{name}'. The modes are {', '.join(MODES)}.") from None

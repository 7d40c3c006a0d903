"""Where a recipe's examples come from: files below the adapter's folder, and programs of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchboard.errors import TrainingDataError
from switchboard.progress import Report, quietly
from switchboard.settings import Settings
from switchboard.training.data import Record, parse_record, read_records
from switchboard.training.recipe import Recipe
from switchboard.types import GenerationSettings

if TYPE_CHECKING:
    from switchboard.retrieval.embedding import SentenceEmbedder

Row = dict[str, Any]
Generator = Callable[..., Iterable[Row]]


def _reader_public(settings: Settings, _folder: Path, seed: int, **sizes: int) -> Iterable[Row]:
    from switchboard.training.reader_public import public_rows  # noqa: PLC0415

    return public_rows(settings.data / "public", _embedder(settings).embed_queries, seed, **sizes)


def _reader_support(_settings: Settings, folder: Path, seed: int, **sizes: int) -> Iterable[Row]:
    from switchboard.training.reader_support import support_rows  # noqa: PLC0415

    return support_rows(folder / "templates.yaml", seed, **sizes)


def _reader_worlds(settings: Settings, folder: Path, seed: int, **sizes: Any) -> Iterable[Row]:
    from switchboard.training.reader_worlds import world_rows  # noqa: PLC0415

    return world_rows(folder / "worlds", _embedder(settings).embed_queries, seed, **sizes)


def _embedder(settings: Settings) -> SentenceEmbedder:
    from switchboard.retrieval.embedding import open_embedder  # noqa: PLC0415

    return open_embedder(settings.embedder, settings.data, quietly)


def _facts(_settings: Settings, folder: Path, seed: int, **sizes: Any) -> Iterable[Row]:
    from switchboard.training.facts import rows_from_facts  # noqa: PLC0415

    return rows_from_facts(folder / "facts", seed, **sizes)


def _intents(settings: Settings, folder: Path, seed: int, **sizes: int) -> Iterable[Row]:
    from switchboard.training.service_intents import intent_rows  # noqa: PLC0415

    return intent_rows(settings.data / "public", folder / "intents.yaml", seed, **sizes)


def _over_passages(settings: Settings, folder: Path, seed: int, **sizes: int) -> Iterable[Row]:
    from switchboard.retrieval.index import KnowledgeIndex  # noqa: PLC0415
    from switchboard.training.over_passages import rows_over_passages  # noqa: PLC0415

    index = KnowledgeIndex.open(settings.knowledge, settings.data, _embedder(settings), quietly, settings.threshold)
    return rows_over_passages(
        folder / "facts",
        settings.knowledge,
        lambda text: index.search(text, GenerationSettings().passages),
        seed,
        **sizes,
    )


GENERATORS: Mapping[str, Generator] = {
    "reader-public": _reader_public,
    "reader-support": _reader_support,
    "reader-worlds": _reader_worlds,
    "facts": _facts,
    "intents": _intents,
    "over-passages": _over_passages,
}
"""Name in a recipe's `generated` -> the program; its other keys there are the program's sizes."""


def gather(folder: Path, recipe: Recipe, settings: Settings, report: Report) -> list[Record]:
    """All records of a recipe, in a fixed order. Raises TrainingDataError with file, line and reason."""
    records: list[Record] = []
    for source in recipe.data:
        if isinstance(source, str):
            paths = sorted(folder.glob(source))
            if not paths:
                raise TrainingDataError(f"{folder / source} matches no file; put JSONL there, or change `data`.")
            found = read_records(paths, folder)
        else:
            found = _generated(source, folder, recipe, settings)
        report(f"{len(found):,} examples from {source if isinstance(source, str) else source.get('generated')}")
        records.extend(found)
    return records


def _generated(source: Mapping[str, Any], folder: Path, recipe: Recipe, settings: Settings) -> list[Record]:
    arguments = {key.replace("-", "_"): value for key, value in source.items() if key != "generated"}
    name = str(source.get("generated"))
    if name not in GENERATORS:
        raise TrainingDataError(f"There is no generator '{name}'; there are {', '.join(GENERATORS)}.")
    try:
        rows = list(GENERATORS[name](settings, folder, recipe.seed, **arguments))
        return [parse_record(row, f"{name}:{number}") for number, row in enumerate(rows, 1)]
    except (TypeError, ValueError) as error:
        raise TrainingDataError(
            f"The generator '{name}' cannot be run with {json.dumps(arguments)}: {error}"
        ) from error

"""The command line: ask, search, index, retrieve-eval, calibrate, train, evaluate, feedback, bench, password, setup.

python -m switchboard ask "How much is Fibre 500?" --mode rag
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from switchboard.errors import SettingsError, SwitchboardError
from switchboard.evaluation.costs import HOURLY_PRICE
from switchboard.modes import DEFAULT_MODE, mode_named
from switchboard.progress import quietly, to_stderr
from switchboard.records import answer_record, search_record
from switchboard.settings import Settings
from switchboard.switch import Switchboard
from switchboard.types import Answer, GenerationSettings, Message
from switchboard.users import hashed

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Fine-tune, or RAG? Ask both."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Passages = Annotated[int, typer.Option("--passages", "-k", help="How many passages to retrieve, 1 to 8.")]


@app.command(epilog='Example: python -m switchboard ask "How much is Fibre 500?" --mode fine-tuned')
def ask(
    question: Annotated[str, typer.Argument(help="What a customer would ask.")] = "",
    mode: Annotated[str, typer.Option(help="base, fine-tuned, rag or combined.")] = DEFAULT_MODE,
    file: Annotated[Path | None, typer.Option(help="Read one question a line, print one JSON object a line.")] = None,
    as_json: AsJson = False,
    passages: Passages = 3,
    temperature: Annotated[float, typer.Option(help="0 is deterministic, up to 1.5.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(help="The longest answer in tokens, 16 to 512.")] = 256,
) -> None:
    """Answer a question down one path, and list its sources."""
    questions = _questions(question, file)
    mode_named(mode)
    settings = GenerationSettings(passages, temperature, max_tokens)
    switchboard = _switchboard()
    if file:
        answered = [_answered(switchboard, text, mode, settings) for text in _with_progress(questions)]
        if None in answered:
            raise typer.Exit(1)
        return
    answers = switchboard.answer([Message("user", questions[0])], mode, settings)
    if as_json:
        *_, answer = answers
        _print_json(answer_record(questions[0], answer), indent=None)
    else:
        _print_sources(_print_stream(answers))


@app.command(epilog='Example: python -m switchboard search "early exit fee" -k 3')
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    passages: Passages = 5,
    as_json: AsJson = False,
) -> None:
    """Show what the retriever finds, with similarities (1 is closest)."""
    if not query.strip():
        raise SettingsError("There is nothing to search for. Give a query in quotation marks.")
    from switchboard.build import open_index  # noqa: PLC0415  (heavy imports only for the command that needs them)

    found = open_index(Settings.from_environment(), to_stderr).search(
        query, GenerationSettings(passages=passages).passages
    )
    if as_json:
        _print_json(search_record(found))
        return
    for number, passage in enumerate(found.passages, 1):
        print(f"[{number}] {passage.label}  (similarity {passage.score:.2f}, {passage.source})\n{passage.text}\n")
    if not found.passages and found.nearest:
        why = (
            f"nothing reached a similarity of {found.threshold:.2f}"
            if found.coverage is None
            else f"judged {found.coverage:.0%} likely to be"
        )
        print(f"Not covered: {why}. The nearest is {found.nearest.label} with {found.nearest.score:.2f}.")
    if not found.nearest:
        print("The knowledge base is empty: put documents into the folder that SWITCHBOARD_KNOWLEDGE names.")


@app.command(epilog="Example: python -m switchboard index")
def index(as_json: AsJson = False) -> None:
    """Bring the index up to date with the knowledge folder; only what changed is embedded."""
    from switchboard.build import open_index  # noqa: PLC0415

    opened = open_index(Settings.from_environment(), to_stderr)
    if as_json:
        _print_json(
            {
                "documents": len(opened.documents),
                "passages": len(opened.passages),
                "fingerprint": opened.fingerprint,
            }
        )
    else:
        print(opened.describe())


@app.command("retrieve-eval", epilog="Example: python -m switchboard retrieve-eval path/to/scifact --json")
def retrieve_eval(
    folder: Annotated[Path, typer.Argument(help="A BEIR folder: corpus.jsonl, queries.jsonl, qrels/test.tsv.")],
    as_json: AsJson = False,
    variants: Annotated[
        bool, typer.Option("--variants", help="Also with our reranker and with other weights of the two searches.")
    ] = False,
) -> None:
    """Score the real retriever on a benchmark in BEIR format: nDCG@10, Recall@10 and Recall@100."""
    from switchboard.build import open_reranker  # noqa: PLC0415
    from switchboard.evaluation.beir import evaluate_retrieval  # noqa: PLC0415
    from switchboard.retrieval.embedding import open_embedder  # noqa: PLC0415

    settings = Settings.from_environment()
    embedder = open_embedder(settings.embedder, settings.data, to_stderr)
    reranker = open_reranker(settings, embedder, to_stderr) if variants else None
    with tqdm(unit="document", file=sys.stderr, desc="Embedding") as bar:
        scores = evaluate_retrieval(folder, embedder, to_stderr, settings.data, partial(_advance, bar), reranker)
    if as_json:
        _print_json(scores)
        return
    wide = max(map(len, scores)) + 2
    print(f"{'':{wide}}{'nDCG@10':>10}{'Recall@10':>12}{'Recall@100':>12}")
    for name, row in scores.items():
        print(f"{name:{wide}}{row['ndcg@10']:>10.4f}{row['recall@10']:>12.4f}{row['recall@100']:>12.4f}")


@app.command(epilog="Example: python -m switchboard calibrate evaluation/coverage")
def calibrate(
    folder: Annotated[Path, typer.Argument(help="*.jsonl of questions known to be covered or not.")],
    as_json: AsJson = False,
) -> None:
    """Choose the similarity below which a question counts as not covered, and say how well it tells them apart."""
    from switchboard.build import open_index  # noqa: PLC0415
    from switchboard.retrieval import calibration  # noqa: PLC0415

    rows = calibration.read_coverage(folder)
    opened = open_index(Settings.from_environment(), to_stderr)
    with tqdm(unit="question", file=sys.stderr) as bar:
        found = calibration.calibrate(opened, rows, partial(_advance, bar))
    if as_json:
        _print_json(asdict(found))
        return
    print(f"Threshold {found.threshold:.2f} (set it with SWITCHBOARD_THRESHOLD).")
    print(f"On {found.held_out} questions it was not chosen on:")
    print(f"  {found.covered_passed:.0%} of the covered pass, {found.uncovered_stopped:.0%} of the others are stopped")
    print("The right article is among the first")
    for name, shares in found.recall.items():
        print(f"  {name:6} " + ", ".join(f"{k}: {share:.0%}" for k, share in shares.items()))


@app.command(epilog="Example: python -m switchboard evaluate --mode rag --json, or evaluate --all")
def evaluate(
    mode: Annotated[str, typer.Option(help="base, fine-tuned, rag or combined.")] = DEFAULT_MODE,
    every: Annotated[bool, typer.Option("--all", help="All modes, and a report of them in the folder --out.")] = False,
    modes: Annotated[str, typer.Option(help="With --all: only these, by commas.")] = "",
    questions: Annotated[Path, typer.Option(help="A JSONL file of questions.")] = Path("evaluation/questions.jsonl"),
    knowledge: Annotated[
        Path | None, typer.Option(help="Another folder of documents than SWITCHBOARD_KNOWLEDGE.")
    ] = None,
    as_json: AsJson = False,
    latency: Annotated[
        int, typer.Option(help="How many questions to ask one by one for the latency, 0 for none.")
    ] = 12,
    answers: Annotated[
        Path | None, typer.Option(help="Also write every answer with its verdicts here, as JSONL.")
    ] = None,
    out: Annotated[Path, typer.Option(help="With --all: where report.json, report.md and plots/ go.")] = Path(
        "evaluation"
    ),
    hourly_price: Annotated[float, typer.Option(help="US dollars an hour for this machine.")] = HOURLY_PRICE,
) -> None:
    """Score modes on questions with known facts: right, declined rightly or wrongly, wrong figures, latency."""
    from switchboard.evaluation import run, score  # noqa: PLC0415
    from switchboard.evaluation.questions import read_questions  # noqa: PLC0415

    chosen = mode_named(mode)
    asked = read_questions(questions)
    settings = Settings.from_environment()
    if knowledge:
        settings = replace(settings, knowledge=knowledge.expanduser().resolve())
    if every:
        _evaluate_all(settings, questions, modes, out, hourly_price)
        return
    switchboard = _switchboard(settings)
    with tqdm(total=len(asked), unit="question", file=sys.stderr, desc=mode) as bar:
        rows = run.score_all(asked, run.ask_all(switchboard, asked, chosen, bar.update))
    summary = score.summarize(mode, chosen.searches, rows)
    if latency:
        with tqdm(total=latency, unit="question", file=sys.stderr, desc="one by one") as bar:
            some = [asked[number] for number in run.sample(len(asked), latency)]
            summary["latency"] = run.latency(run.ask_one_by_one(switchboard, some, chosen, bar.update))
    if answers:
        lines = [json.dumps(run.record(row), ensure_ascii=False) + "\n" for row in rows]
        answers.write_text("".join(lines), encoding="utf-8")
    if as_json:
        _print_json(summary, indent=None)
    else:
        _print_summary(summary)


@app.command(epilog="Example: python -m switchboard train customer-service")
def train(
    adapter: Annotated[str, typer.Argument(help="A folder below adapters/ with a recipe.yaml.")],
) -> None:
    """Train an adapter from its recipe; resumes where it was stopped."""
    from switchboard.training.train import train as run  # noqa: PLC0415

    run(adapter, Settings.from_environment(), to_stderr)


@app.command(epilog="Example: python -m switchboard feedback likes.csv")
def feedback(file: Annotated[Path, typer.Argument(help="The CSV file to write.")]) -> None:
    """Export the visitors' likes and dislikes with mode, question, answer, sources and metrics."""
    from switchboard.database import open_database  # noqa: PLC0415
    from switchboard.feedback import FeedbackStore  # noqa: PLC0415

    try:
        with file.open("w", encoding="utf-8", newline="") as sink:
            rows = FeedbackStore(open_database(Settings.from_environment(), "feedback")).export_csv(sink)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error}.") from error
    print(f"{rows} rows written to {file}.")


@app.command(epilog="Example: python -m switchboard bench --peers .switchboard/bench/venv")
def bench(
    peers: Annotated[
        Path | None, typer.Option(help="An environment with llama-cpp-python; `make bench` makes it.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Measurements of each turn, of which the median counts.", min=1)] = 7,
    out: Annotated[Path, typer.Option(help="Where the figures go, as JSON, and a picture beside them.")] = Path(
        "docs/bench.json"
    ),
    prompts: Annotated[int, typer.Option(help="Prompts that both decoders answer, to be compared.", min=0)] = 200,
    sizes: Annotated[str, typer.Option(help="Passages of the made-up indexes that are searched in.")] = "1000,100000",
) -> None:
    """Time our decoder, transformers' own and llama.cpp on the same turns, by turns, and say how they compare."""
    from switchboard.bench.command import measure  # noqa: PLC0415
    from switchboard.bench.written import table, write  # noqa: PLC0415

    wanted = [int(size) for size in sizes.split(",") if size.strip().isdigit()]
    found = measure(Settings.from_environment(), peers, rounds, prompts, to_stderr, sizes=wanted)
    write(found, out)
    print(table(found))


@app.command(epilog="Example: python -m switchboard password ann")
def password(name: Annotated[str, typer.Argument(help="Who is to log in.")]) -> None:
    """Ask for a password and print what SWITCHBOARD_USERS takes: the name and a hash."""
    if not name.strip() or set(name) & set(":,"):
        raise SettingsError("A name has neither a colon nor a comma.")
    secret = getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise SettingsError("There is no password. Type one, or send it through standard input.")
    print(f"{name.strip()}:{hashed(secret)}")


@app.command(epilog="Example: python -m switchboard setup")
def setup() -> None:
    """Make ready what a start needs: the quantized model, the embedder and the index."""
    from switchboard.build import build  # noqa: PLC0415

    build(Settings.from_environment(), to_stderr, strict=True)
    to_stderr("Everything is ready.")


def main() -> None:
    """Run the command line. Whatever a person can mend is one line on standard error and exit code 1."""
    # What a database refuses is said below in that line; its trace is for a server's log.
    logging.getLogger("switchboard.database").addHandler(logging.NullHandler())
    try:
        app()
    except SwitchboardError as error:
        sys.exit(f"Error: {error}")
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(f"Error: {error}. See that the folder in SWITCHBOARD_DATA can be written and has room.")
    except KeyboardInterrupt:
        sys.exit(130)


def _switchboard(settings: Settings | None = None) -> Switchboard:
    from switchboard.build import build  # noqa: PLC0415

    return build(settings or Settings.from_environment(), to_stderr).switchboard


def _evaluate_all(settings: Settings, file: Path, modes: str, out: Path, hourly: float) -> None:
    """Measure all modes, or those of a list, and write the report; goes on where an earlier run was stopped."""
    from switchboard.build import build, open_index  # noqa: PLC0415
    from switchboard.evaluation import report, written  # noqa: PLC0415
    from switchboard.evaluation.memory import peak_of  # noqa: PLC0415
    from switchboard.evaluation.questions import read_questions  # noqa: PLC0415

    by_name = {mode.name: mode for mode in report.ALL}
    names = [name.strip() for name in modes.split(",") if name.strip()]
    wanted = [by_name.get(name) or mode_named(name) for name in names]
    running = build(settings, to_stderr, strict=True)
    plan = report.Plan(
        running.switchboard,
        running.about,
        running.index.fingerprint,
        settings,
        file,
        read_questions(file),
        hourly,
        lambda mode: peak_of(mode, settings.knowledge),
        lambda: report.seconds_of_update(settings, lambda copy: open_index(copy, quietly)),
        wanted or report.ALL,
    )
    with tqdm(total=len(plan.questions) * len(plan.modes), unit="answer", file=sys.stderr) as bar:
        made = report.measure(plan, bar.update, bar.write)
    written.write_report(made, out)
    print(f"{out / written.MARKDOWN}, {out / written.JSON} and {out / written.PLOTS}/ are written.")


def _answered(switchboard: Switchboard, question: str, mode: str, settings: GenerationSettings) -> Answer | None:
    """Print one question's answer as a line of JSON, or why there is none; the questions after it go on."""
    try:
        *_, answer = switchboard.answer([Message("user", question)], mode, settings)
    except SwitchboardError as error:
        _print_json({"question": question, "mode": mode, "error": str(error)}, indent=None)
        return None
    _print_json(answer_record(question, answer), indent=None)
    return answer


def _questions(question: str, file: Path | None) -> list[str]:
    if file is None:
        if not question.strip():
            raise SettingsError("There is no question. Give one in quotation marks, or a file of them with --file.")
        return [question]
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read as UTF-8 text: {error}.") from error
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise SettingsError(f"{file} has no question in it; write one a line.")
    return questions


def _with_progress(questions: list[str]) -> Iterator[str]:
    """The questions, with a bar on standard error."""
    yield from tqdm(questions, unit="question", file=sys.stderr, disable=len(questions) < 2)


def _advance(bar: tqdm[Any], done: int, total: int) -> None:
    """Show that `done` of `total` are done."""
    bar.total = total
    bar.update(done - bar.n)


def _print_summary(summary: dict[str, Any]) -> None:
    """A mode's figures as a table, with 95 % intervals."""
    words = {
        "all_facts": "all required facts present",
        "wrongly_declined": "answerable, but declined",
        "declined": "not answerable, and declined",
        "wrong_figures": "answers with a wrong figure",
        "cited_right": "right article cited",
        "retrieved_right": "right article retrieved",
    }
    print(
        f"{summary['mode']}: {summary['n']} questions, {summary['answerable']} answerable, "
        f"{summary['unanswerable']} to be declined"
    )
    for name, what in words.items():
        if summary[name] is not None:
            low, high = summary["intervals"][name]
            print(f"  {what:30}{summary[name]:>5.0%}   (95 %: {low:.0%} to {high:.0%})")
    print(f"  {'stratum':24}{'n':>4}{'facts':>8}{'declined':>10}{'wrong figure':>14}")
    for name, row in summary["strata"].items():
        facts = "-" if row["all_facts"] is None else f"{row['all_facts']:.0%}"
        print(f"  {name:24}{row['n']:>4}{facts:>8}{row['declined']:>10.0%}{row['wrong_figures']:>14.0%}")
    if latency := summary.get("latency"):
        for name, label in (("time_to_first_token_ms", "to the first token"), ("total_ms", "whole answer")):
            if latency[name]:
                print(
                    f"  {label}: {latency[name][0]} ms, one in twenty over {latency[name][1]} ms (n = {latency['n']})"
                )
    print(f"  tokens, medians: {summary['median_prompt_tokens']} in, {summary['median_output_tokens']} out")


def _print_stream(answers: Iterator[Answer]) -> Answer:
    """Print the answer as it grows; returns the finished one."""
    shown = ""
    for answer in answers:
        text = answer.text.strip()  # A blank at the end goes if a citation that is removed follows it.
        if text.startswith(shown):
            print(text[len(shown) :], end="", flush=True)
            shown = text
    print()
    return answer


def _print_sources(answer: Answer) -> None:
    if answer.notice:
        print(f"\n{answer.notice}")
    if answer.nearest and not answer.passages:
        print(f"Nearest: {answer.nearest.label} (similarity {answer.nearest.score:.2f})")
    for number, passage in enumerate(answer.passages, 1):
        cited = "cited" if number in answer.cited else "retrieved"
        print(f"{'' if number > 1 else chr(10)}[{number}] {passage.label} (similarity {passage.score:.2f}, {cited})")
    metrics = answer.metrics
    # A quoted answer, or a taught one, is copied and not decoded.
    speed = f" at {metrics.tokens_per_second:.0f}/s" if metrics.tokens_per_second >= 1 else ""
    print(
        f"\n{metrics.total_ms / 1000:.2f} s in all, {metrics.time_to_first_token_ms / 1000:.2f} s to the first token, "
        f"{metrics.output_tokens} tokens{speed}, prompt {metrics.prompt_tokens} tokens "
        f"({metrics.reused_tokens} reused), search {metrics.retrieval_ms:.0f} ms"
    )


def _print_json(value: dict[str, Any], indent: int | None = 2) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)

"""A research agent as a FastAPI app: it searches a folder of notes, reads what looks best, and answers with sources.

It needs no model, no key and no network, so that it runs anywhere; put a call of your model where `compose` is. The two
endpoints are all that Mainstay asks of an app: /invoke answers whole, /stream as server-sent events.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

NOTES = Path(__file__).parent / "notes"
ITERATIONS_MAX = 5
SENTENCES_MAX = 3
COMMON = set("a an and are at can do does for how i in is it me my of on or the to what when where which who you your".split())

app = FastAPI(title="research agent")


class Question(BaseModel):
    """What Mainstay sends. Fields that the caller did not give are absent."""

    query: str = Field(min_length=1, max_length=10_000)
    run_id: str | None = None
    session_id: str | None = None
    context: Any = None
    max_tokens: int | None = None
    temperature: float | None = None
    metadata: Any = None
    stream: bool = False


class Usage(BaseModel):
    """Tokens, as far as the agent counts them; here, words."""

    input_tokens: int
    output_tokens: int


class Answer(BaseModel):
    """What Mainstay reads: `answer`, `model`, `finish_reason` and `usage`. The rest becomes an event of the run."""

    answer: str
    model: str = "notes"
    finish_reason: str = "stop"
    usage: Usage
    sources: list[str]


def words(text: str) -> set[str]:
    """The telling words of a text, without a plural's s."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return {word.removesuffix("s") for word in found if word not in COMMON}


def search(wanted: set[str], seen: set[str]) -> str | None:
    """A tool: the name of the unread note that shares most words with the question."""
    scores = {note.stem: len(wanted & words(note.read_text())) for note in NOTES.glob("*.md") if note.stem not in seen}
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best] > 0 else None


def read(name: str) -> list[str]:
    """A tool: the sentences of a note."""
    text = (NOTES / f"{name}.md").read_text()
    body = " ".join(line for line in text.splitlines() if not line.startswith("#"))
    return [sentence.strip() for sentence in re.split(r"(?<=[.!?])\s+", body) if sentence.strip()]


def compose(found: list[tuple[int, str]]) -> str:
    """The answer, from scored sentences. A model would write it; these notes answer for themselves."""
    if not found:
        topics = ", ".join(sorted(note.stem.replace("-", " ") for note in NOTES.glob("*.md")))
        return f"The notes do not say. They are about: {topics}."
    best = sorted(found, key=lambda scored: -scored[0])[:SENTENCES_MAX]
    return " ".join(sentence for _, sentence in best)


def research(question: Question) -> Iterator[dict[str, Any]]:
    """The loop: search, read, look whether that is enough. Yields its steps and, last, its answer."""
    wanted, seen, found = words(question.query), set(), []
    for iteration in range(1, ITERATIONS_MAX + 1):
        name = search(wanted, seen)
        yield {"step": iteration, "tool": "search", "input": " ".join(sorted(wanted)), "output": name}
        if name is None:
            break
        seen.add(name)
        scored = [(len(wanted & words(sentence)), sentence) for sentence in read(name)]
        kept = [(score, sentence) for score, sentence in scored if score > 0]
        found += kept
        yield {"step": iteration, "tool": "read", "input": name, "output": f"{len(kept)} sentences"}
        if any(score >= min(2, len(wanted)) for score, _ in kept):
            break
    text = compose(found)
    usage = Usage(input_tokens=len(question.query.split()), output_tokens=len(text.split()))
    yield {"answer": Answer(answer=text, usage=usage, sources=sorted(seen))}


@app.get("/health")
def health() -> dict[str, str]:
    """Mainstay forwards nothing before this answers 2xx."""
    return {"status": "ok"}


@app.post("/invoke")
def invoke(question: Question, x_mainstay_run_id: Annotated[str | None, Header()] = None) -> Answer:
    """The whole answer as JSON."""
    print(f"run {x_mainstay_run_id}: asked", flush=True)
    *_, last = research(question)
    return last["answer"]


@app.post("/stream")
def stream(question: Question, x_mainstay_run_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
    """The answer as events: `step` for what the agent does, `token` for pieces of text, `complete` at the end."""
    print(f"run {x_mainstay_run_id}: asked for a stream", flush=True)

    def event(name: str, data: Any) -> str:
        return f"event: {name}\ndata: {json.dumps(data)}\n\n"

    def events() -> Iterator[str]:
        for step in research(question):
            answer = step.get("answer")
            if answer is None:
                yield event("step", step)
                continue
            for piece in re.findall(r"\S+\s*", answer.answer):
                yield event("token", {"token": piece})
            yield event("complete", answer.model_dump(exclude={"answer"}))

    return StreamingResponse(events(), media_type="text/event-stream")

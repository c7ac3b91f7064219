"""Fills the collection `handbook` from the files in `knowledge/`.

Passages are embedded through the service's own `/v1/embeddings`, so that they and the questions are embedded by the same
model, and by one key. Running it again changes what changed and takes away what is gone.
"""

import argparse
import os
import pathlib
import sys

import chromadb
import httpx

HERE = pathlib.Path(__file__).parent
BATCH = 32


def passages(folder):
    """The paragraphs of each file: id, text, and where it stands."""
    for path in sorted(folder.glob("*.md")):
        title, *paragraphs = path.read_text(encoding="utf-8").split("\n\n")
        for number, paragraph in enumerate(paragraphs, 1):
            text = " ".join(paragraph.split())
            about = {"file": path.name, "title": title.lstrip("# ").strip()}
            yield f"{path.stem}-{number}", f"{about['title']}: {text}", about


def embedded(service, key, model, texts):
    """The vectors of texts."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": model, "input": texts}
    answer = httpx.post(f"{service}/v1/embeddings", json=body, headers=headers, timeout=60)
    if answer.status_code != 200:
        sys.exit(f"{service} does not embed: {answer.status_code} {answer.text}")
    return [item["embedding"] for item in answer.json()["data"]]


def main():
    """Reads, embeds, and puts into the collection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--service", default="http://127.0.0.1:8080", help="the agent's address")
    parser.add_argument("--key", default=os.environ.get("VAIA_KEY"), help="its API key (VAIA_KEY)")
    parser.add_argument("--model", default="embedding", help="the model's name in the spec")
    parser.add_argument("--chroma", default="http://127.0.0.1:8001", help="Chroma's address")
    parser.add_argument("--collection", default="handbook")
    parser.add_argument("--knowledge", type=pathlib.Path, default=HERE / "knowledge")
    given = parser.parse_args()
    address = httpx.URL(given.chroma)
    tls = address.scheme == "https"
    client = chromadb.HttpClient(host=address.host, port=address.port or (443 if tls else 8000), ssl=tls)
    # Vectors come from us, so the collection has no embedding of its own; their angle is what counts.
    collection = client.get_or_create_collection(
        given.collection, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    rows = list(passages(given.knowledge))
    for at in range(0, len(rows), BATCH):
        ids, texts, about = zip(*rows[at : at + BATCH])
        vectors = embedded(given.service, given.key, given.model, list(texts))
        collection.upsert(ids=list(ids), documents=list(texts), metadatas=list(about), embeddings=vectors)
    gone = set(collection.get(include=[])["ids"]) - {row[0] for row in rows}
    if gone:
        collection.delete(ids=sorted(gone))
    print(f"{given.collection}: {len(rows)} passages, {len(gone)} taken away")


if __name__ == "__main__":
    main()

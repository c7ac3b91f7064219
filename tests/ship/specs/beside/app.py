"""The smallest agent of one's own: it says what it was asked."""

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/invoke")
async def invoke(request: Request):
    body = await request.json()
    return {"answer": body.get("query", "")}


@app.post("/stream")
async def stream(request: Request):
    body = await request.json()

    async def events():
        for word in body.get("query", "").split():
            yield f"data: {word}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")

"""An agent that says what it was asked, twenty words a second where it is streamed."""

import asyncio
import json

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/invoke")
async def invoke(request: Request):
    return {"answer": (await request.json())["query"]}


@app.post("/stream")
async def stream(request: Request):
    words = (await request.json())["query"].split()

    async def events():
        for word in words:
            yield f"data: {json.dumps({'token': word + ' '})}\n\n"
            await asyncio.sleep(0.05)
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")

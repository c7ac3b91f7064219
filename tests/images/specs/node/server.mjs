// An agent that says what it was asked, twenty words a second where it is streamed.
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import ms from "ms";

const server = http.createServer(async (req, res) => {
  if (req.url === "/health") return res.end("ok");
  let text = "";
  for await (const piece of req) text += piece;
  const { query } = JSON.parse(text);
  if (req.url === "/invoke") {
    res.setHeader("content-type", "application/json");
    return res.end(JSON.stringify({ answer: query }));
  }
  res.setHeader("content-type", "text/event-stream");
  for (const word of query.split(" ")) {
    res.write(`data: ${JSON.stringify({ token: `${word} ` })}\n\n`);
    await sleep(ms("50ms"));
  }
  res.end("data: [DONE]\n\n");
});
server.listen(8000, "127.0.0.1");
process.on("SIGTERM", () => server.close());

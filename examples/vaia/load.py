"""A load test of `/v1/agent/infer`: so many callers at once for so many seconds. Prints what it saw, and ends with 1 where
too many calls failed or were too slow.
"""

import argparse
import asyncio
import collections
import os
import re
import time

import httpx

QUESTIONS = [
    "How do I descale the kettle?",
    "The kettle does not switch on. Why?",
    "How long is the warranty?",
    "Can I return a kettle?",
]


async def caller(client, given, number, seen, until):
    """One caller: asks, waits for the answer, asks again."""
    while time.monotonic() < until:
        body = {"query": QUESTIONS[number % len(QUESTIONS)], "session_id": f"load-{number}-{time.monotonic_ns()}"}
        began = time.monotonic()
        try:
            answer = await client.post("/v1/agent/infer", json=body)
            how = str(answer.status_code)
            if answer.status_code == 200 and not answer.json().get("answer"):
                how = "200 without an answer"
        except httpx.HTTPError as error:
            how = type(error).__name__
        seen.append((how, time.monotonic() - began))
        if how != "200":
            # Who is refused does not ask again at once.
            await asyncio.sleep(0.2)


def at(sorted_times, share):
    """The time within which that share was answered."""
    return sorted_times[min(len(sorted_times) - 1, int(share * len(sorted_times)))] if sorted_times else 0.0


async def processor(client):
    """The service's processor seconds so far, if it tells."""
    answer = await client.get("/metrics")
    found = re.search(r"^process_cpu_seconds_total (\S+)$", answer.text, re.MULTILINE) if answer.status_code == 200 else None
    return float(found.group(1)) if found else None


async def run(given):
    """Asks for the time given; gives what was seen and the processor time it took."""
    headers = {"authorization": f"Bearer {given.key}"} if given.key else {}
    limits = httpx.Limits(max_connections=given.callers)
    async with httpx.AsyncClient(base_url=given.url, headers=headers, limits=limits, timeout=given.timeout) as client:
        before, seen, until = await processor(client), [], time.monotonic() + given.seconds
        await asyncio.gather(*(caller(client, given, number, seen, until) for number in range(given.callers)))
        after = await processor(client)
    return seen, None if before is None or after is None else after - before


def main():
    """Runs it and judges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--key", default=os.environ.get("VAIA_KEY"))
    parser.add_argument("--callers", type=int, default=20, help="callers at once")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--timeout", type=float, default=60, help="seconds that a caller waits for an answer")
    parser.add_argument("--failures", type=float, default=0.01, help="the share of calls that may fail")
    parser.add_argument("--p95", type=float, help="seconds within which 95 of 100 calls are to be answered")
    given = parser.parse_args()
    began = time.monotonic()
    seen, cpu = asyncio.run(run(given))
    took = time.monotonic() - began
    times = sorted(took for how, took in seen if how == "200")
    kinds = collections.Counter(how for how, _ in seen)
    failed = 1 - len(times) / len(seen) if seen else 1.0
    print(f"calls     {len(seen)} in {took:.1f} s by {given.callers} callers, {len(times) / took:.1f} answered a second")
    print(f"answered  p50 {at(times, 0.5):.3f} s, p95 {at(times, 0.95):.3f} s, p99 {at(times, 0.99):.3f} s")
    print("statuses  " + ", ".join(f"{how}: {count}" for how, count in sorted(kinds.items())))
    if cpu is not None and times:
        print(f"processor {cpu:.2f} s of the service, {1000 * cpu / len(times):.2f} ms an answer")
    faults = []
    if failed > given.failures:
        faults.append(f"{failed:.1%} of the calls failed, and {given.failures:.1%} may")
    if given.p95 is not None and at(times, 0.95) > given.p95:
        faults.append(f"the p95 is above {given.p95} s")
    print("verdict   " + ("; ".join(faults) or "good"))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())

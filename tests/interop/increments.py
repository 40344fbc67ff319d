"""Publishes increments to Trivet's telemetry from Python, with nothing of ours: `increments.py URL COUNT`."""

import asyncio
import json
import sys

import nats

PER_MESSAGE = 100
IN_FLIGHT = 128


async def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    connection = await nats.connect(url)
    js = connection.jetstream()
    waiting = set()
    for sent in range(0, count, PER_MESSAGE):
        records = [
            {"name": "increments", "type": "counter", "value": 1, "source": "python", "tags": {"shard": str(n % 13)}}
            for n in range(sent, min(sent + PER_MESSAGE, count))
        ]
        body = json.dumps(records).encode()
        waiting.add(asyncio.ensure_future(js.publish("trivet.telemetry.metric", body, timeout=60)))
        if len(waiting) >= IN_FLIGHT:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
    await asyncio.gather(*waiting)
    await connection.close()


asyncio.run(main())

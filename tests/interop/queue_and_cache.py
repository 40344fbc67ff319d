"""A Python program that knows NATS and the protocol's page, and nothing else of Trivet.

Usage: queue_and_cache.py NATS_URL. Prints what it saw as one JSON object.
"""

import asyncio
import json
import sys

import nats


async def ask(client, subject, body=b"", headers=None):
    reply = await client.request(subject, body, timeout=5, headers=headers)
    return json.loads(reply.data), (reply.headers or {}).get("Nats-Service-Error-Code")


async def main(url):
    client = await nats.connect(url)
    seen = {}

    seen["enqueued"], _ = await ask(
        client, "trivet.queue.python.enqueue", b'{"n":1}', {"Trivet-Priority": "high", "Nats-Msg-Id": "one"}
    )
    seen["again"], _ = await ask(client, "trivet.queue.python.enqueue", b'{"n":1}', {"Nats-Msg-Id": "one"})
    ack = await client.jetstream().publish("trivet.jobs.python", b'{"n":2}', headers={"Nats-Msg-Id": "two"})
    seen["stream"] = ack.stream

    items = []
    while len(items) < 2:
        body = json.dumps({"max": 10, "wait": "5s", "worker": "python"}).encode()
        reply, _ = await ask(client, "trivet.queue.python.dequeue", body)
        items += reply["items"]
    seen["items"] = items

    first, second = ({"id": item["id"], "token": item["token"]} for item in items)
    done = json.dumps({**first, "result": {"by": "python"}}).encode()
    seen["completed"], _ = await ask(client, "trivet.queue.python.complete", done)
    failed = json.dumps({**second, "error": {"message": "no"}, "retry": False}).encode()
    seen["failed"], _ = await ask(client, "trivet.queue.python.fail", failed)
    seen["refused"], seen["refusedCode"] = await ask(client, "trivet.queue.python.complete", b'{"id":1}')
    seen["item"], _ = await ask(client, "trivet.queue.python.get", json.dumps({"id": first["id"]}).encode())

    seen["set"], _ = await ask(client, "trivet.cache.python.set", b'{"key":"k","value":[1,"\xc3\xa9"],"ttl":"1m"}')
    seen["got"], _ = await ask(client, "trivet.cache.python.get", b'{"key":"k"}')
    seen["missed"], _ = await ask(client, "trivet.cache.python.get", b'{"key":"nothing"}')

    await client.close()
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))

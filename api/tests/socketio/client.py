"""The official Python client, led by a test: a line of JSON on standard input is what it does, a line of JSON on
standard output is what happened to it."""

import json
import os
import sys

import socketio

address, transport = sys.argv[1:]
client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.1)


def say(line):
    print(json.dumps(line), flush=True)


client.on("connect", lambda: say({"connected": client.transport()}))
client.on("connect_error", lambda error: say({"refused": error["message"]}))
client.on("disconnect", lambda *reason: say({"disconnected": True}))
client.on("*", lambda event, data: say({"event": event, "data": data}))

try:
    client.connect(address, auth=json.loads(os.environ["AUTH"]), transports=[transport])
except socketio.exceptions.ConnectionError:
    pass  # It was told why.

for line in sys.stdin:
    command = json.loads(line)
    client.emit(command["emit"], command["data"], callback=lambda ack: say({"ack": ack}))
client.disconnect()

# `serve` answers each message with one of the same length, logs it, and pings
# all clients every two seconds by its own clock, so that the pings of two
# servers stand at different places among their answers. `connect HOST` is ten
# clients that send 600 messages each.
import asyncio
import sys

import websockets

PORT, CLIENTS, MESSAGES = 8765, 10, 600


async def answer(connection, connections):
    connections.add(connection)
    try:
        async for message in connection:
            print(message.split(".")[0], flush=True)
            await connection.send("x" * len(message))
    finally:
        connections.remove(connection)


async def serve():
    connections = set()
    # A copied client's pong answers production's ping, so that none answers the
    # target's, and the server must not wait for it.
    async with websockets.serve(lambda c: answer(c, connections), None, PORT, ping_interval=None):
        while True:
            await asyncio.sleep(2)
            for connection in list(connections):
                try:
                    await connection.ping()
                except websockets.ConnectionClosed:
                    pass


async def client(number, host):
    async with websockets.connect(f"ws://{host}:{PORT}/", ping_interval=None) as connection:
        for n in range(MESSAGES):
            await connection.send(f"message {number}/{n}" + "." * (n % 100))
            await connection.recv()
            await asyncio.sleep(0.01)


async def connect(host):
    await asyncio.gather(*(client(number, host) for number in range(CLIENTS)))


asyncio.run(serve() if sys.argv[1] == "serve" else connect(sys.argv[2]))

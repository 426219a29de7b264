#!/usr/bin/env python3
"""HTTP load for a lab: so many requests at a time, each on a connection of its own.

It ends after a number of requests, after so many seconds, or when it is told to (SIGTERM), finishes
what it has begun, and says in one line how many there were, how many failed, how many were slow, and what
the slowest took. The exit status is 1 if one failed, or none was made. A lost packet shows as a slow
request: the kernel repeats a SYN after a second.
"""

import argparse
import asyncio
import collections
import signal
import socket
import sys
import time


# Seconds of a slow request: less than the kernel waits before it repeats a SYN.
SLOW = 0.9


class Load:
    """The requests, and what became of them."""

    def __init__(self, address, port, args):
        self.address, self.port, self.args = address, port, args
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.left = args.count
        self.told_to_end = False
        self.done = 0
        self.slow = 0
        self.slowest = 0.0
        self.failures = collections.Counter()
        self.pages = collections.Counter()

    def goes_on(self):
        """Is there another request to make? Takes it."""
        if self.told_to_end or time.monotonic() > self.deadline:
            return False
        self.left -= 1
        return self.left >= 0

    async def request(self):
        """One request; the page."""
        loop = asyncio.get_running_loop()
        with socket.socket(self.family) as wire:
            wire.setblocking(False)
            await loop.sock_connect(wire, (self.address, self.port))
            await loop.sock_sendall(wire, b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := await loop.sock_recv(wire, 65536):
                answer += part
        head, _, page = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0] or not page.endswith(b"\n"):
            raise ValueError(f"no page in {answer[:60]!r}")
        return page.decode().strip()

    async def client(self):
        """One request after another."""
        while self.goes_on():
            start = time.monotonic()
            try:
                self.pages[await asyncio.wait_for(self.request(), self.args.patience)] += 1
            except (OSError, ValueError, asyncio.TimeoutError) as error:
                self.failures[str(error) or type(error).__name__] += 1
            self.done += 1
            took = time.monotonic() - start
            self.slow += took > SLOW
            self.slowest = max(self.slowest, took)

    def end(self):
        """No further requests."""
        self.told_to_end = True

    async def run(self):
        """All requests; true if none failed."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.end)
        start = time.monotonic()
        self.deadline = start + self.args.seconds
        await asyncio.gather(*(self.client() for _ in range(self.args.at_once)))
        took = time.monotonic() - start
        failed = self.failures.total()
        for reason, times in self.failures.most_common(10):
            print(f"failed {times} times: {reason}")
        shares = ", ".join(f"{times} by {page}" for page, times in sorted(self.pages.items()))
        print(
            f"{self.done} requests, {failed} failed, {self.slow} slow, {took:.1f} s, "
            f"slowest {self.slowest * 1000:.0f} ms; {shares}"
        )
        return self.done > 0 and failed == 0


def main():
    """From the command line to the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--patience", type=float, default=5, help="seconds for one request")
    parser.add_argument("endpoint", help="ADDRESS:PORT, an IPv6 address in brackets")
    args = parser.parse_args()
    address, _, port = args.endpoint.rpartition(":")
    load = Load(address.strip("[]"), int(port), args)
    sys.exit(0 if asyncio.run(load.run()) else 1)


if __name__ == "__main__":
    main()

"""The switch between the hosts: passes packets on, or loses and delays them as it is told.

A process of its own, so that nothing else holds it up. It is given an address and a file descriptor
for each host, and reads a line of JSON for each change. The kernel's own means (`tc netem`) are not
compiled into every kernel.
"""

import heapq
import json
import os
import random
import selectors
import sys
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count
from time import monotonic

#: The longest packet (bytes).
MTU = 9000

#: Where an IPv4 packet has its addresses.
SOURCE, DESTINATION = slice(12, 16), slice(16, 20)


@dataclass(frozen=True)
class Link:
    """What happens to packets from one host to another.

    Attributes:
        loss: the share that is lost, from 0 to 1.
        delay: how long (seconds) the others take.
    """

    loss: float = 0.0
    delay: float = 0.0


#: A link that is as it should be.
WHOLE = Link()


class Switch:
    """Knows each host by its address, and each pair that is not connected as it should be."""

    def __init__(self, hosts: dict[bytes, int], seed: int) -> None:
        self._hosts = hosts
        self._chance = random.Random(seed)  # noqa: S311  (which packets are lost is no secret)
        self._links: dict[tuple[bytes, bytes], Link] = {}
        self._delayed: list[tuple[float, int, bytes]] = []
        self._order = count()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Pass packets on until standard input ends."""
        for descriptor in self._hosts.values():
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            wait = max(0.0, self._delayed[0][0] - monotonic()) if self._delayed else None
            for key, _ in self._selector.select(wait):
                if key.fd != sys.stdin.fileno():
                    self._receive(key.fd)
                elif line := sys.stdin.readline():
                    self._change(line)
                else:
                    return
            while self._delayed and self._delayed[0][0] <= monotonic():
                _, _, packet = heapq.heappop(self._delayed)
                # What is under way when a link is cut does not arrive.
                if self._link(packet).loss < 1:
                    send(self._hosts[packet[DESTINATION]], packet)

    def _change(self, line: str) -> None:
        """Connect two hosts in another way, and confirm it."""
        source, destination, loss, delay = json.loads(line)
        pair = IPv4Address(source).packed, IPv4Address(destination).packed
        self._links[pair] = Link(loss, delay)
        sys.stdout.write("done\n")
        sys.stdout.flush()

    def _receive(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            while packet := os.read(descriptor, MTU):
                self._pass_on(packet)

    def _pass_on(self, packet: bytes) -> None:
        to = self._hosts.get(packet[DESTINATION])
        if to is None:  # Such as what a host tells all others.
            return
        link = self._link(packet)
        if link.loss and self._chance.random() < link.loss:
            return
        if link.delay:
            heapq.heappush(self._delayed, (monotonic() + link.delay, next(self._order), packet))
        else:
            send(to, packet)

    def _link(self, packet: bytes) -> Link:
        return self._links.get((packet[SOURCE], packet[DESTINATION]), WHOLE)


def send(descriptor: int, packet: bytes) -> None:
    # A host that takes no more loses it, as on any wire.
    with suppress(OSError):
        os.write(descriptor, packet)


def main() -> None:
    """Read what hosts there are from the arguments."""
    seed, *hosts = sys.argv[1:]
    pairs = (host.split("=") for host in hosts)
    Switch({IPv4Address(a).packed: int(descriptor) for a, descriptor in pairs}, int(seed)).run()


if __name__ == "__main__":
    main()

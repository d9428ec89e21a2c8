"""Hosts of their own on this machine: network namespaces, and a switch between them.

A namespace has no name, and an interface (TUN) whose other end is the switch. So nothing of it
outlives this program, whatever ends it, and the machine's own network has no part in it.
"""

import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

from tests.hosts.switch import MTU, Link

#: From linux/if_tun.h.
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

INTERFACE = "tidy0"

#: The network that the hosts are in; this program's own address there, and the first host's.
NETWORK, PREFIX_LENGTH, OWN, FIRST = "10.77.0.", 24, 1, 11


class CannotBuild(Exception):  # noqa: N818  (what this machine, or its user, cannot do)
    """This machine cannot have networks of its own for each host."""


@dataclass(frozen=True)
class Host:
    """One host.

    Attributes:
        prefix: the command that runs another one there.
    """

    name: str
    address: str
    prefix: tuple[str, ...]


class Network:
    """The hosts, and what is between them."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        """Move this process into a network of its own, and put a host beside it for each name.

        Raises:
            CannotBuild: for the lack of rights, or of a part of the kernel.
        """
        try:
            os.unshare(os.CLONE_NEWNET)
            self._wires = {f"{NETWORK}{OWN}": plug_in(f"{NETWORK}{OWN}")}
            self.hosts: dict[str, Host] = {}
            self._namespaces: list[int] = []
            for index, name in enumerate(names, FIRST):
                self._add(name, f"{NETWORK}{index}")
        except (OSError, AttributeError, subprocess.CalledProcessError) as error:
            raise CannotBuild(str(error)) from error
        self._changed: dict[tuple[str, str], Link] = {}
        wires = [f"{address}={descriptor}" for address, descriptor in self._wires.items()]
        self._switch = subprocess.Popen(
            [sys.executable, "-m", "tests.hosts.switch", str(seed), *wires],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=list(self._wires.values()),
            start_new_session=True,
        )

    def _add(self, name: str, address: str) -> None:
        made: list[int | OSError | subprocess.CalledProcessError] = []

        def move_and_plug_in() -> None:
            # A namespace is a thread's own.
            try:
                os.unshare(os.CLONE_NEWNET)
                namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
                made.extend((namespace, plug_in(address)))
            except (OSError, subprocess.CalledProcessError) as error:
                made.append(error)

        thread = Thread(target=move_and_plug_in)
        thread.start()
        thread.join()
        for one in made:
            if not isinstance(one, int):
                raise one
        namespace, self._wires[address] = (int(str(one)) for one in made)
        self._namespaces.append(namespace)
        enter = ("nsenter", f"--net=/proc/{os.getpid()}/fd/{namespace}", "--")
        self.hosts[name] = Host(name, address, enter)

    def connect(self, sources: Sequence[str], destinations: Sequence[str], link: Link) -> None:
        """Connect hosts in one direction, in another way from now on."""
        for source in sources:
            for destination in destinations:
                if source != destination:
                    self._change(self._address(source), self._address(destination), link)

    def mend(self) -> None:
        """Connect all hosts as they should be."""
        for (source, destination), link in list(self._changed.items()):
            if link != Link():
                self._change(source, destination, Link())

    def _address(self, name: str) -> str:
        return self.hosts[name].address if name else f"{NETWORK}{OWN}"

    def _change(self, source: str, destination: str, link: Link) -> None:
        self._changed[source, destination] = link
        if self._switch.stdin and self._switch.stdout:
            line = json.dumps([source, destination, link.loss, link.delay])
            self._switch.stdin.write(f"{line}\n")
            self._switch.stdin.flush()
            self._switch.stdout.readline()

    def close(self) -> None:
        """End the switch; the namespaces end with the processes in them."""
        self._switch.kill()
        self._switch.communicate()
        for descriptor in [*self._wires.values(), *self._namespaces]:
            os.close(descriptor)


def plug_in(address: str) -> int:
    """Give this thread's network an interface with an address; return the wire's other end."""
    wire = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(wire, TUNSETIFF, struct.pack("16sH", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    for command in (
        f"address add {address}/{PREFIX_LENGTH} dev {INTERFACE}",
        f"link set {INTERFACE} mtu {MTU} up",
        "link set lo up",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)  # noqa: S607  (as the PATH finds it)
    return wire


@contextmanager
def network(names: Sequence[str], seed: int) -> Iterator[Network]:
    """Have a network until the block ends."""
    between = Network(names, seed)
    try:
        yield between
    finally:
        between.close()

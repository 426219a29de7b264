#!/usr/bin/env python3
"""A real server's end of tunnels, for machines whose kernel has no ipip or ip6_tunnel.

decapsulate.py DEVICE 4|6 makes a device as the kernel would have it (tunl0 for tunnels over IPv4,
ip6tnl0 for those over IPv6), and receives on it what comes in packets to this host: IPv4 (protocol 4)
and IPv6 (protocol 41) in IP of that family. It sends nothing: a server answers the client directly.
That these protocols have a socket also keeps the kernel from answering "protocol unreachable".

The device is there for as long as the program runs; any signal ends it.
"""

import fcntl
import os
import select
import socket
import struct
import sys

SO_RCVBUFFORCE = 33
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
# The kernel would drop what a busy program leaves in a socket for long.
RECEIVE_BUFFER = 16 << 20
# Packets from one socket before the other has its turn.
TURN = 64


def make_device(name):
    """A device for IP packets without any header before them; returns its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    return device


def listen(family, protocol):
    """All packets of a protocol to this host, whole again if they were fragments."""
    sock = socket.socket(family, socket.SOCK_RAW, protocol)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    sock.setblocking(False)
    return sock


def inner_packet(family, packet):
    """A raw socket of IPv4 gives the outer header too, one of IPv6 does not."""
    if family == socket.AF_INET6:
        return packet
    return packet[(packet[0] & 0x0F) * 4 :]


def is_ip(protocol, packet):
    """Is the packet of the IP version that its outer header says?"""
    version = 4 if protocol == socket.IPPROTO_IPIP else 6
    return len(packet) >= 20 and packet[0] >> 4 == version


def receive(device, family, protocol, sock):
    """Hands one turn's packets to the kernel; what it does not take is lost, as on a wire."""
    for _ in range(TURN):
        try:
            packet = memoryview(sock.recv(65535))
        except BlockingIOError:
            return
        inner = inner_packet(family, packet)
        if is_ip(protocol, inner):
            try:
                os.write(device, inner)
            except OSError:
                # The device is down.
                pass


def main():
    if len(sys.argv) != 3 or sys.argv[2] not in ("4", "6"):
        sys.exit("usage: decapsulate.py DEVICE 4|6")
    family = socket.AF_INET if sys.argv[2] == "4" else socket.AF_INET6
    sockets = {}
    poll = select.poll()
    for protocol in (socket.IPPROTO_IPIP, socket.IPPROTO_IPV6):
        sock = listen(family, protocol)
        sockets[sock.fileno()] = (protocol, sock)
        poll.register(sock, select.POLLIN)
    device = make_device(sys.argv[1])
    while True:
        for descriptor, _ in poll.poll():
            receive(device, family, *sockets[descriptor])


if __name__ == "__main__":
    main()

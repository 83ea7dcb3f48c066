# Carries the packets between two parts of a fabric by hand: delay, jitter, loss and duplication, which the kernel may
# have no queueing discipline for. Each side gets a TUN device and a route to the other through it; when this process
# ends, devices and routes go with it and the packets take the ordinary way again.
#
#   python3 pump.py NETNS_A HOST_A NETNS_B HOST_B DELAY_MS JITTER_MS LOSS DUPLICATE SEED
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
PACKET_BYTES_MAX = 65535
PACKETS_PER_TURN_MAX = 128
# More than this under way is a queue no real link would hold: the newest are lost.
PACKETS_UNDER_WAY_MAX = 20_000
DEVICE = "pump0"

libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(descriptor)


def open_device(netns, home):
    enter(f"/run/netns/{netns}")
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
        return device
    finally:
        enter(home)


def route(netns, own, other):
    for command in (f"link set {DEVICE} up", f"route add {other}/32 dev {DEVICE} src {own}"):
        subprocess.check_call(["ip", "-n", netns, *command.split()])


def pump(ends, delay, jitter, loss, duplicate):
    waiting, number = [], 0
    while True:
        until = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
        ready, _, _ = select.select(list(ends), [], [], until)
        for source in ready:
            for _ in range(PACKETS_PER_TURN_MAX):
                try:
                    packet = os.read(source, PACKET_BYTES_MAX)
                except BlockingIOError:
                    break
                if random.random() < loss or len(waiting) >= PACKETS_UNDER_WAY_MAX:
                    continue
                for _ in range(2 if random.random() < duplicate else 1):
                    number += 1
                    due = time.monotonic() + max(0.0, delay + random.uniform(-jitter, jitter))
                    heapq.heappush(waiting, (due, number, ends[source], packet))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(waiting)
            try:
                os.write(target, packet)
            except BlockingIOError:
                pass


def main():
    netns_a, host_a, netns_b, host_b = sys.argv[1:5]
    delay, jitter, loss, duplicate = float(sys.argv[5]) / 1000, float(sys.argv[6]) / 1000, float(sys.argv[7]), float(sys.argv[8])
    random.seed(int(sys.argv[9]))
    home = f"/proc/{os.getpid()}/ns/net"
    keep = os.open(home, os.O_RDONLY)
    home = f"/proc/self/fd/{keep}"
    a, b = open_device(netns_a, home), open_device(netns_b, home)
    route(netns_a, host_a, host_b)
    route(netns_b, host_b, host_a)
    print("up", flush=True)
    pump({a: b, b: a}, delay, jitter, loss, duplicate)


main()

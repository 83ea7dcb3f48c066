#!/bin/sh
# First process of a cell's guest. The root is this machine's own, read-only; what the servers write lies on /dev/ubda, and
# only what they fsync leaves the guest's memory, because nothing else is written back in the time a guest lives.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
setting() { sed -n "s/.*weft_$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm
echo 360000 > /proc/sys/vm/dirty_writeback_centisecs
echo 360000 > /proc/sys/vm/dirty_expire_centisecs
ip link set lo up
ip addr add "$(setting address)/24" dev vec0
ip link set vec0 up
mount -t ext4 -o commit=600 /dev/ubda "$(setting dir)" || { echo "weft: no disk"; exit 1; }
sh "$(setting dir)/start.sh"
echo "weft: guest is up"
while :; do sleep 3600; done

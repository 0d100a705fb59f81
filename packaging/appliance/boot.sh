#!/bin/sh
# boot.sh NETNS DEBS CGROUP: boots systemd on a copy of this machine's files
# that is thrown away, in the network namespace NETNS, with the folder DEBS at
# /debs. It runs in a mount namespace of its own, which ends with it, and in a
# control group of its own, which its caller removes.
set -eu
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
	if [ -e "$hierarchy/cgroup.procs" ]; then
		mkdir -p "$hierarchy/$3"
		echo $$ >"$hierarchy/$3/cgroup.procs"
	fi
done
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
# A machine of its own, whose journal is its own.
tr -d - </proc/sys/kernel/random/uuid >/mnt/root/etc/machine-id
# Without the services and timers that this machine has.
exec systemd-nspawn --quiet --directory=/mnt/root --boot --register=no --keep-unit --console=pipe --capability=CAP_NET_ADMIN \
	--bind-ro="$2:/debs" --network-namespace-path="/run/netns/$1" systemd.unit=basic.target systemd.mask=timers.target

#!/bin/sh
# dpkg.sh OLD NEW: installs the debs of folder old, upgrades to those of new,
# removes and purges them, in a copy of this machine's files that is thrown
# away. The test runs it in a mount namespace of its own.
set -eu

. "$(dirname "$0")/root.sh"
. "$(dirname "$0")/told.sh"

inside dpkg -i /mnt/debs/old/tcpcopy_*.deb /mnt/debs/old/intercept_*.deb
for tool in tcpcopy intercept; do
	inside $tool --version | grep -q "$tool 1.2.3" || fail "$tool is not of the version"
	inside getent passwd $tool | grep -q /usr/sbin/nologin || fail "no user $tool, or one who may log in"
done
inside itercept --version >/dev/null || fail "itercept does not run"
inside tcpcopy --config /etc/tcpcopy/online.toml --check-config && fail "the configuration as installed copies somewhere"
# In a network that does not forward, whatever this machine does.
unshare --net sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
	exec chroot /mnt/root intercept --config /etc/tcpcopy/intercept.toml --check-config'
[ -z "$(find /mnt/upper/etc/systemd -type l 2>/dev/null)" ] || fail "the installation enables a service"
inside systemd-analyze verify --man=yes tcpcopy@online.service intercept.service intercept@two.service
for unit in tcpcopy@online intercept intercept@two; do
	exposure=$(inside systemd-analyze security --offline=yes --threshold=25 $unit.service) || fail "$exposure"
done

echo "# by the operator" >>/mnt/root/etc/tcpcopy/online.toml
mkdir -p /mnt/root/etc/systemd/system/multi-user.target.wants
ln -s /usr/lib/systemd/system/tcpcopy@.service /mnt/root/etc/systemd/system/multi-user.target.wants/tcpcopy@online.service
inside dpkg -i /mnt/debs/new/tcpcopy_*.deb /mnt/debs/new/intercept_*.deb
told upgrade <<'END'
daemon-reload
try-restart intercept.service intercept@*.service
try-restart tcpcopy@*.service
END
inside tcpcopy --version | grep -q "tcpcopy 1.3.0" || fail "the upgrade brought no new version"
grep -q "by the operator" /mnt/root/etc/tcpcopy/online.toml || fail "the upgrade lost the configuration"

inside dpkg -r tcpcopy intercept
told removal <<'END'
daemon-reload
stop intercept.service intercept@*.service
stop tcpcopy@*.service
END
[ ! -e /mnt/root/usr/bin/tcpcopy ] || fail "removed, and the program is there"
grep -q "by the operator" /mnt/root/etc/tcpcopy/online.toml || fail "the removal lost the configuration"
inside getent passwd tcpcopy >/dev/null || fail "the removal took the user"
[ -L /mnt/root/etc/systemd/system/multi-user.target.wants/tcpcopy@online.service ] || fail "the removal disabled the service"

inside dpkg -P tcpcopy intercept
left=$(cd /mnt/upper && find . ! -type d ! -path './run/*' ! -path './var/lib/dpkg/*' ! -path './var/log/*' ! -path './var/cache/*' \
	! -path './etc/passwd*' ! -path './etc/group*' ! -path './etc/shadow*' ! -path './etc/gshadow*' ! -path './etc/.pwd.lock' ! -path './etc/sub[ug]id*' \
	! -path './usr/bin/systemctl')
[ -z "$left" ] || fail "purged, and left: $left"
[ ! -e /mnt/root/etc/tcpcopy ] || fail "purged, and /etc/tcpcopy is there"
for tool in tcpcopy intercept; do
	inside getent passwd $tool && fail "purged, and there is a user $tool"
done
exit 0

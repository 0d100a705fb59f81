#!/bin/sh
# rpm.sh OLD NEW: installs the rpms of folder old with their scripts, verifies
# their files, upgrades to those of new and erases them, in a copy of this
# machine's files that is thrown away. The test runs it in a mount namespace of
# its own.
set -eu
. "$(dirname "$0")/root.sh"
. "$(dirname "$0")/told.sh"

# Debian's rpm asks for --force-debian; it knows none of the packages here.
rpm() { inside rpm --force-debian --nodeps "$@"; }

rpm -i /mnt/debs/old/tcpcopy-*.rpm /mnt/debs/old/intercept-*.rpm
told installation <<'END'
daemon-reload
END
for tool in tcpcopy intercept; do
	rpm -V $tool || fail "$tool: its files are not those of the package"
	inside $tool --version | grep -q "$tool 1.2.3" || fail "$tool is not of the version"
	inside getent passwd $tool | grep -q /usr/sbin/nologin || fail "no user $tool, or one who may log in"
done
[ -z "$(find /mnt/upper/etc/systemd -type l 2>/dev/null)" ] || fail "the installation enables a service"
inside systemd-analyze verify --man=yes tcpcopy@online.service intercept.service intercept@two.service

echo "# by the operator" >>/mnt/root/etc/tcpcopy/online.toml
echo "# by a stranger" >>/mnt/root/usr/share/doc/tcpcopy/README.md
rpm -V tcpcopy && fail "rpm -V does not see a change"
rpm -U /mnt/debs/new/tcpcopy-*.rpm /mnt/debs/new/intercept-*.rpm
told upgrade <<'END'
daemon-reload
try-restart intercept.service intercept@*.service
try-restart tcpcopy@*.service
END
inside tcpcopy --version | grep -q "tcpcopy 1.3.0" || fail "the upgrade brought no new version"
tail -n 1 /mnt/root/etc/tcpcopy/online.toml | grep -q "by the operator" || fail "the upgrade lost the configuration"
[ "$(rpm -V tcpcopy intercept)" = "S.5....T.  c /etc/tcpcopy/online.toml" ] || fail "upgraded, and changed besides the configuration: $(rpm -V tcpcopy intercept)"

rpm -e tcpcopy intercept
told removal <<'END'
daemon-reload
stop intercept.service intercept@*.service
stop tcpcopy@*.service
END
left=$(cd /mnt/upper && find etc usr ! -type d ! -path 'etc/passwd*' ! -path 'etc/group*' ! -path 'etc/shadow*' ! -path 'etc/gshadow*' \
	! -path 'etc/.pwd.lock' ! -path 'etc/sub[ug]id*' ! -path usr/bin/systemctl ! -path '*/rpm/*')
[ "$left" = etc/tcpcopy/online.toml.rpmsave ] || fail "erased, and left: $left"

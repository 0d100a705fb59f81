#!/bin/sh
# After the files have gone: deb calls it with "remove" and, when the
# configuration has gone too, "purge", and rpm with the number of versions that
# stay. It keeps what systemctl enable made until purge, as the configuration.
set -e

case "$1" in
purge | 0)
	rm -f /etc/systemd/system/*.wants/@TOOL@.service /etc/systemd/system/*.wants/@TOOL@@*.service
	;;
esac
case "$1" in
purge)
	if getent passwd @TOOL@ >/dev/null; then
		userdel @TOOL@
	fi
	;;
esac
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

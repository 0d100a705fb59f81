#!/bin/sh
# After the files of a version are there: deb calls it with "configure" and the
# version before, rpm with the number of versions. Nothing is started that did
# not run: what this package sends is not for every network.
set -e

case "$1" in
configure) upgrade=$2 ;;
1) upgrade= ;;
2) upgrade=yes ;;
*) exit 0 ;;
esac

systemd-sysusers @TOOL@.conf
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$upgrade" ]; then
		systemctl try-restart @UNITS@
	fi
fi

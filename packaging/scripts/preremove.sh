#!/bin/sh
# Before the files go: deb calls it with "remove" (or "upgrade"), rpm with the
# number of versions that stay.
set -e

if [ -d /run/systemd/system ]; then
	case "$1" in
	remove | 0) systemctl stop @UNITS@ ;;
	esac
fi

#!/bin/sh
# rpmlint.sh OLD: runs rpmlint on the rpms of folder old, in a copy of this
# machine's files that is thrown away: rpmlint unpacks by cpio, which takes the
# absolute names in the rpms of nfpm as they are, and would install them here.
# The test runs it in a mount namespace of its own.
set -eu
here=$(realpath "$(dirname "$0")")
. "$here/root.sh"
cp "$here/../rpmlint.toml" /mnt/debs
inside sh -c 'rpmlint -c /mnt/debs/rpmlint.toml /mnt/debs/old/*.rpm'

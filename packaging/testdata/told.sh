# Sourced after root.sh: a systemctl that writes down what it is told, and the
# function told, which compares that with standard input.
fail() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}
mkdir -p /mnt/root/run/systemd/system
rm /mnt/root/usr/bin/systemctl
cat >/mnt/root/usr/bin/systemctl <<'END'
#!/bin/sh
echo "$@" >>/mnt/debs/told
END
chmod +x /mnt/root/usr/bin/systemctl
told() {
	cat >/mnt/debs/want
	sort -u /mnt/debs/told | diff /mnt/debs/want - || fail "$1: systemctl was told something else"
	rm /mnt/debs/told
}

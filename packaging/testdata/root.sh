# Sourced by others in a mount namespace of their own: makes a copy of this
# machine's files that is thrown away, /mnt/root, and the function inside, which
# runs a command there. Folders named as arguments are there at /mnt/debs, by
# their last names.
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/debs
for folder in "$@"; do
	cp -r "$folder" "/mnt/debs/$(basename "$folder")"
done
mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t proc none /mnt/root/proc
mount --bind /dev /mnt/root/dev
mkdir -p /mnt/root/mnt/debs
mount --bind /mnt/debs /mnt/root/mnt/debs

inside() { chroot /mnt/root env DEBIAN_FRONTEND=noninteractive "$@"; }

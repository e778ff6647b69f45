#!/bin/bash
# Process 1 of an emulated board, in namespaces of its own: board.sh PLACE, with PLACE = .devices of the checkout. The
# board has this machine's programs and files, but a home, a /tmp and a /sys of its own. Says "ready", and ends, with
# everything in the namespaces, when its standard input does.
set -eu
place=$1
own=$place/root

mount -t tmpfs -o mode=755 tmpfs "$own"
mkdir "$own/home" "$own/bin"
case $place in
  /tmp/*) ;;
  *) mount -t tmpfs -o mode=1777 tmpfs /tmp ;;
esac
mount -t tmpfs -o mode=755 tmpfs /sys

# an ordinary user without a password, whom only this sshd knows
{
  echo "pi:x:1000:1000::$own/home:/bin/sh"
  cat /etc/passwd
} > "$own/passwd"
mount --bind "$own/passwd" /etc/passwd
ssh-keygen -q -t ed25519 -N '' -f "$own/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$own/key"

echo ready
while read -r _; do :; done

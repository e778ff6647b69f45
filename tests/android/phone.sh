#!/bin/bash
# Process 1 of an emulated phone, in namespaces of its own: phone.sh PLACE USERLAND, with PLACE = .devices of the checkout.
# Makes the phone's file system in PLACE/root/phone, says "ready", and ends, with everything in the namespaces, when its
# standard input does: when the tests are over, however they end.
set -eu
place=$1 userland=$2 here=$(dirname "$(realpath "$0")")
root=$place/root/phone

ip link set lo up
mount -t tmpfs -o mode=755 tmpfs "$place/root"
mkdir -p "$root"/{apex/adbd,data/local/tmp,dev/pts,etc,proc,sys,system/bin,system/etc} "$place/root/home"

# aarch64 programs run here, and here only; where the kernel is too old for that, its own table may know them
if mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2> /dev/null; then
  magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64)
  printf '%s' ":qemu-aarch64:M::$magic:$mask:$qemu:F" > /proc/sys/fs/binfmt_misc/register || true
fi

show() { # a folder of this machine, read-only, at the same place on the phone
  if [ -L "$1" ]; then
    ln -s "$(readlink "$1")" "$root$1"
  elif [ -e "$1" ]; then
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1"
    mount -o remount,bind,ro "$root$1"
  fi
}
case $userland in
  coreutils)
    for folder in /usr /bin /lib /lib64; do show $folder; done
    ;;
  toybox) # the shell and the tools of Android; of this machine nothing but the libraries they are linked with
    for folder in /usr/lib /usr/lib64 /lib /lib64; do show $folder; done
    mkdir "$root/bin"
    cp "$(command -v mksh)" "$root/bin/sh"
    cp "$(command -v toybox)" "$root/system/bin/toybox"
    for tool in $(toybox); do ln -s toybox "$root/system/bin/$tool"; done
    ;;
esac
rm -f "$root/system/bin/uname"
cp "$here"/programs/* "$root/system/bin/"
ln -sf /bin/sh "$root/system/bin/sh"
mount --bind "$place/adbd" "$root/apex/adbd"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
echo root:x:0:0:root:/:/bin/sh > "$root/etc/passwd"
echo root:x:0: > "$root/etc/group"
mount -t proc proc "$root/proc"
# an ARM phone does not show the x86 processor of this machine; LiteRT under qemu 7 crashes on seeing one
for ((core = 0; core < $(nproc --all); core++)); do
  sed "s/CORE/$core/" "$here/cpuinfo"
done > "$place/root/cpuinfo"
mount --bind "$place/root/cpuinfo" "$root/proc/cpuinfo"

echo ready
while read -r _; do :; done

#!/usr/bin/env bash
# Brings what the tests of phones and boards need, and the browser for those of pages; quick when it is all there. Ends
# with 1 if something is missing, and says what: the tests that need it skip then.
#
# Programs come from the system's own packages (root, or sudo without a password). What would start a daemon when it
# is installed, adbd and sshd, is only unpacked into .devices/, which needs no root.
set -uo pipefail
cd "$(dirname "$0")/../.."

PLACE=$PWD/.devices
PROGRAMS=(adb ssh aarch64-linux-gnu-gcc mksh toybox busybox ip unshare nsenter setpriv)
PACKAGES=(adb openssh-client qemu-user-static gcc-aarch64-linux-gnu mksh toybox busybox iproute2 util-linux
  libc6-dev-arm64-cross libstdc++6-arm64-cross)
export PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive
missing=()

if ! command -v apt-get > /dev/null; then
  echo "tests/android/install.sh: no apt-get here; phones and boards can be emulated on Debian and Ubuntu only" >&2
  exit 1
fi

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n DEBIAN_FRONTEND=noninteractive "$@"; fi
}

lacks_programs() {
  local program
  for program in "${PROGRAMS[@]}"; do
    command -v "$program" > /dev/null || return 0
  done
  # newer distributions link qemu-aarch64 itself statically
  [ ! -e /usr/aarch64-linux-gnu/lib/libstdc++.so.6 ] ||
    ! { command -v qemu-aarch64-static || command -v qemu-aarch64; } > /dev/null
}

# where another Chromium or Chrome is there, that will do
install_browser() {
  local program
  for program in chromium chromium-browser google-chrome; do command -v "$program" > /dev/null && return; done
  if ! as_root true 2> /dev/null; then
    missing+=("chromium: installing it needs root, or sudo without a password")
    return
  fi
  echo "tests/android/install.sh: installing chromium" >&2
  as_root apt-get -qq update
  as_root apt-get -qq install -y --no-install-recommends chromium > /dev/null ||
    missing+=("chromium: apt-get could not install it (see above)")
}

install_packages() {
  lacks_programs || return 0
  if ! as_root true 2> /dev/null; then
    missing+=("${PACKAGES[*]}: installing them needs root, or sudo without a password")
    return
  fi
  echo "tests/android/install.sh: installing ${PACKAGES[*]}" >&2
  as_root apt-get -qq update
  # one by one if not all at once: a distribution without one of them still gets the others
  as_root apt-get -qq install -y --no-install-recommends "${PACKAGES[@]}" > /dev/null && return
  local package
  for package in "${PACKAGES[@]}"; do
    as_root apt-get -qq install -y --no-install-recommends "$package" > /dev/null ||
      missing+=("$package: apt-get could not install it (see above)")
  done
}

# An apt of its own: the system's sources, and its mirror's backports, where Debian 12 has adbd. Nothing of it is seen
# by the system's apt.
private_apt() {
  local apt=$PLACE/apt id codename keys origin backports
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/parts"
  read -r id codename < <(. /etc/os-release && echo "$ID ${VERSION_CODENAME:-}")
  keys=/usr/share/keyrings/$id-archive-keyring.gpg
  [ -e "$keys" ] && keys="[signed-by=$keys] " || keys=
  # the distribution's own; which these are is known once the system's apt has been updated
  for origin in "Origin: ${id^}" "Created-By: Packages"; do
    apt-get indextargets 'Created-By: Packages' "$origin" \
      --format "deb $keys"'$(REPO_URI) $(RELEASE) $(COMPONENT)' | sort -u | grep " $codename" > "$apt/sources.list" && break
  done
  if ! grep -q " $codename-backports " "$apt/sources.list"; then
    backports=$(grep -m 1 " $codename main" "$apt/sources.list" | sed "s/ $codename main/ $codename-backports main/")
    echo "$backports" >> "$apt/sources.list"
  fi
  cat > "$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "$apt/parts";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt";
APT::Sandbox::User "root";
CONF
  export APT_CONFIG=$apt/apt.conf
  apt-get -qq update
}

# unpack NAME PACKAGE: the package and what it depends on and the system lacks, into .devices/NAME
unpack() {
  local name=$1 package=$2 release needed
  [ -e "$PLACE/$name/.whole" ] && return
  [ -n "${APT_CONFIG:-}" ] || private_apt
  rm -rf "${PLACE:?}/$name"
  mkdir -p "$PLACE/$name/debs"
  release=$(apt-cache madison "$package" | awk 'NR == 1 {split($6, suite, "/"); print suite[1]}')
  mapfile -t needed < <(apt-get install --simulate --no-install-recommends -t "$release" "$package" 2> /dev/null |
    awk -v package="$package" 'BEGIN {print package} $1 == "Inst" && $2 != package && $2 != "adb" {print $2}')
  if (cd "$PLACE/$name/debs" && apt-get -qq download -t "$release" "${needed[@]}"); then
    find "$PLACE/$name/debs" -name '*.deb' -exec dpkg -x {} "$PLACE/$name" \;
    rm -r "$PLACE/$name/debs"
    touch "$PLACE/$name/.whole"
  else
    missing+=("$package: this system's packages have none, or its mirror could not be reached")
  fi
}

install_packages
install_browser
unpack adbd adbd
unpack sshd openssh-server
mkdir -p "$PLACE/root"
if lacks_programs && [ ${#missing[@]} = 0 ]; then
  missing+=("one of ${PROGRAMS[*]}: its package is installed, but it is not on PATH")
fi
for part in "${missing[@]}"; do echo "tests/android/install.sh: missing $part" >&2; done
[ ${#missing[@]} = 0 ]

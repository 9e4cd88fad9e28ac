#!/bin/sh
# Makes TorchSharp loadable on Linux systems whose C++ library is older than GCC 13's, such as Debian 12 and Ubuntu 22.04.
# For development only: it changes the copies of libLibTorchSharp.so in one build output. What is published is not touched.
#   torchsharp-older-linux.sh OUTPUT_FOLDER
# libLibTorchSharp.so of TorchSharp 0.107 needs one symbol of the version GLIBCXX_3.4.32: std::ios_base_library_init(), an
# empty function. The script marks that version as weak, so that the loader accepts a library without it, and adds a library
# that defines the function. Does nothing where the loader finds the version. Needs patchelf, gcc and readelf.
set -eu
# The output of ldd and readelf is read.
export LC_ALL=C
version=GLIBCXX_3.4.32

for library in "$1"/runtimes/linux-x64/native/libLibTorchSharp.so "$1"/libLibTorchSharp.so; do
  [ -f "$library" ] || continue
  ldd "$library" 2>&1 | grep -q ": version .$version. not found" || continue
  for tool in patchelf gcc readelf; do
    if ! command -v $tool >/dev/null; then
      echo "The C++ library of this system is older than GCC 13's, which TorchSharp needs. TorchSharp's tests are skipped; install patchelf and gcc (Debian: apt-get install patchelf gcc) to run them."
      exit 0
    fi
  done
  folder=$(dirname "$library")
  work=$(mktemp -d "$folder/older-linux.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$library" "$work/patched.so"

  # vna_flags, two bytes at offset 4 of the version's entry in section .gnu.version_r: VER_FLG_WEAK is 2.
  offsets=$(readelf -W -V "$work/patched.so" | awk -v version=$version '
    /^Version needs section/ { needs = 1 }
    needs && /Offset:/ { for (i = 1; i < NF; i++) if ($i == "Offset:") section = $(i + 1) }
    needs && $2 == "Name:" && $3 == version { sub(":", "", $1); print section, $1 }')
  [ -n "$offsets" ] || { echo "$library has no entry for $version." >&2; exit 1; }
  # shellcheck disable=SC2086
  set -- "$1" $offsets
  printf '\002\000' | dd of="$work/patched.so" bs=1 seek=$(($2 + $3 + 4)) conv=notrunc status=none

  echo 'void _ZSt21ios_base_library_initv(void) { }' | gcc -shared -nostdlib -fPIC -x c -o "$work/libios_base_library_init.so" -
  patchelf --add-needed libios_base_library_init.so "$work/patched.so"
  mv "$work/libios_base_library_init.so" "$folder/"
  mv "$work/patched.so" "$library"
  rm -rf "$work"
done

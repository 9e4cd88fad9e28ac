#!/usr/bin/env bash
# Out to PyTorch's distributed engine and back: create the training form here, train it there with two processes, fuse
# and serve it here. Checks strict loading, names, and that the logits agree.
# Usage: roundtrip.sh [PYTHON]      (needs torch and numpy; Debian: python3-torch python3-numpy)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/tools/pytorch:$root/test/pytorch

repvgg() { dotnet run --no-build --project "$root/src/RepVgg.Tool" -- "$@"; }
dotnet build "$root/src/RepVgg.Tool" -v quiet

# Gray images, and colours.
round_trip() {
  local variant=$1 size=$2 channels=$3 mean=$4 std=$5 name=$work/$1
  repvgg create "$variant" "$name-initial.pth" --classes 3 --channels "$channels" --seed 5
  "$python" -m roundtrip data "$name-data.pt" "$name-images.npy" "$size" "$channels"
  "$python" -m roundtrip logits "$variant" "$name-initial.pth" "$name-images.npy" "$name-expected.npy" "$mean" "$std"
  repvgg run "$name-initial.pth" "$name-images.npy" "$name-actual.npy" --mean "$mean" --std "$std"
  "$python" -m roundtrip compare "$name-expected.npy" "$name-actual.npy"

  # Redirects are named because the launcher of PyTorch 1.13 cannot read its own default of none in Python 3.11 and later.
  # shellcheck disable=SC2086
  "$python" -m torch.distributed.run --standalone --nproc_per_node 2 --redirects 1 --tee 1 --log_dir "$work/logs" "$root/tools/pytorch/train.py" --variant "$variant" \
    --weights "$name-initial.pth" --data "$name-data.pt" --out "$name-trained.pth" --checkpoint "$name-checkpoint.pth" \
    --epochs 3 --batch-size 16 --learning-rate 0.05 --workers 0 --mean ${mean//,/ } --std ${std//,/ } | tee "$name-log"
  grep -q "2 processes" "$name-log"
  "$python" -m roundtrip learned "$name-log" 0.9

  repvgg inspect "$name-checkpoint.pth" | grep -q "Classes *3"
  repvgg verify "$name-trained.pth" --image-size "$size"
  "$python" -m roundtrip logits "$variant" "$name-trained.pth" "$name-images.npy" "$name-expected.npy" "$mean" "$std"
  repvgg convert "$name-trained.pth" "$name.onnx" --image-size "$size" --mean "$mean" --std "$std"
  repvgg convert "$name.onnx" "$name.safetensors"
  for file in "$name-trained.pth" "$name.onnx" "$name.safetensors"; do
    repvgg run "$file" "$name-images.npy" "$name-actual.npy" --mean "$mean" --std "$std"
    "$python" -m roundtrip compare "$name-expected.npy" "$name-actual.npy"
  done
}

round_trip RepVGG-S0 28 1 127 60
round_trip RepVGG-S2 32 3 123.675,116.28,103.53 58.395,57.12,57.375
# Names, shapes and logits of groups, both kinds of squeeze-and-excitation, and auxiliary heads.
mean=123.675,116.28,103.53 std=58.395,57.12,57.375
"$python" -m roundtrip data "$work/data.pt" "$work/images.npy" 64 3
for variant in A0 B1g4 D2se RepVGGplus-L2pse; do
  repvgg create "$variant" "$work/initial.pth" --classes 7
  "$python" -m roundtrip names "$variant" "$work/initial.pth"
  "$python" -m roundtrip scatter "$work/initial.pth"
  "$python" -m roundtrip logits "$variant" "$work/initial.pth" "$work/images.npy" "$work/expected.npy" "$mean" "$std"
  repvgg run "$work/initial.pth" "$work/images.npy" "$work/actual.npy"
  "$python" -m roundtrip compare "$work/expected.npy" "$work/actual.npy"
done
echo "The round trip is good."

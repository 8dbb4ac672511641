#!/usr/bin/env bash
# Extracts triplets from a video: bash ./_scripts/rrld_pipeline.sh VIDEO OUT [--flow dis] [--size source] [--one-per-cut] …
# The five stages run in order, each with the options given; the --help of each tells which are its own.
set -euo pipefail

if [[ $# -lt 2 || "$1" == -* || "$2" == -* ]]; then
  echo "Give a video and the folder for its triplets: $0 VIDEO OUT [options]" >&2
  exit 2
fi
[[ "$1" == /* ]] && video=$1 || video=$PWD/$1
[[ "$2" == /* ]] && out=$2 || out=$PWD/$2
shift 2
cd "$(dirname "$(realpath "$0")")/.."

make/python -m _scripts.encode_video "$video" "$out" "$@"
for stage in duplicate_frame_features rrld_filter extract_triplet_images extract_triplet_flows; do
  make/python -m "_scripts.$stage" "$out" "$@"
done

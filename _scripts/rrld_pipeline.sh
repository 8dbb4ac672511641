#!/usr/bin/env bash
# Extracts triplets from a video: bash ./_scripts/rrld_pipeline.sh VIDEO OUT [--flow dis] [--size source] [--one-per-cut] …
# The five stages run in order, each with the options given; the --help of each tells which are its own.
set -euo pipefail

if [[ $# -lt 2 || "$1" == -* || "$2" == -* ]]; then
  echo "Give a video and the folder for its triplets: $0 VIDEO OUT [options]" >&2
  exit 2
fi
video=$1 out=$2
shift 2
root=$(realpath "$(dirname "$(realpath "$0")")/..")
"$root/make/setup"
python=${INBETWEEN_VENV:-.venv}/bin/python
[[ "$python" == /* ]] || python=$root/$python
export PYTHONSAFEPATH=1 PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} # from the caller's folder, so that paths are its own

"$python" -m _scripts.encode_video "$video" "$out" "$@"
for stage in duplicate_frame_features rrld_filter extract_triplet_images extract_triplet_flows; do
  "$python" -m "_scripts.$stage" "$out" "$@"
done

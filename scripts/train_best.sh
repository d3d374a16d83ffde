#!/bin/sh
# Train the model that comes with the project again, from photos that scripts/prepare_dataset.py prepared:
#
#     ./scripts/train_best.sh ./datasets/young2old,./datasets/chips my_model
#
# The run my_model goes on from my_model_middle (192 pixels, all photos of the first data set), and that from
# my_model_start (128 pixels). Its own photos are those of people who look their age, linked in
# ./datasets/young2old_apparent; if there is a second data set, such as the chips of UTKFace, two fifths of them are from
# there. Further options, such as --gpu_ids 1, are given to all three trainings. After an interruption, the same command
# goes on.
set -eu
cd "$(dirname "$0")/.."
if [ $# -lt 2 ]; then
    echo "usage: $0 DATAROOT[,DATAROOT] NAME [options of train.py]" >&2
    exit 2
fi
photos=${1%%,*} name=$2 checkpoints=${CHECKPOINTS:-./checkpoints} python=${PYTHON:-python} others=
case $1 in *,*) others=${1#*,} ;; esac
photos=${photos%/} others=${others%/}
shift 2

# train PHOTOS NAME OPTIONS...: start the run, or resume it with the options that it was started with
train() {
    data=$1 run=$2
    shift 2
    [ ! -e "$checkpoints/$run/latest_net_G_A.pth" ] || set -- --continue_train
    "$python" train.py --dataroot "$data" --name "$run" --checkpoints_dir "$checkpoints" "$@"
}

for each in "$photos" ${others:+"$others"}; do
    [ -e "${each}_apparent" ] ||
        "$python" scripts/select_by_apparent_age.py --dataroot "$each" --output "${each}_apparent"
done
last=${photos}_apparent match=gender
if [ -n "$others" ]; then
    last=${photos}_joined match=gender,race
    [ -e "$last" ] || "$python" scripts/join_datasets.py --dataroot "${photos}_apparent,${others}_apparent" \
        --shares 3,2 --output "$last"
fi
train "$photos" "${name}_start" --preset fast128 "$@"
train "$photos" "${name}_middle" --preset best --init_from "${name}_start" --n_epochs_decay 0 "$@"
train "$last" "$name" --preset best --init_from "${name}_middle" --match "$match" "$@"

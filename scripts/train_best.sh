#!/bin/sh
# Train the model that comes with the project again, from photos that scripts/prepare_dataset.py prepared:
#
#     ./scripts/train_best.sh ./datasets/young2old,./datasets/chips my_model
#
# The run my_model (192 pixels) goes on from my_model_start (128 pixels, all photos of the first data set). Its own
# photos, ./datasets/young2old_joined, are those of people who look their age, of old people with grey hair, and of a
# second data set, if there is one, such as the chips of UTKFace. Further options, such as --gpu_ids 1, are given to both
# trainings. After an interruption, the same command goes on.
#
# GREY_HAIR names a list of photos with grey hair; the default is one of IMDB-WIKI's.
set -eu
cd "$(dirname "$0")/.."
if [ $# -lt 2 ]; then
    echo "usage: $0 DATAROOT[,DATAROOT] NAME [options of train.py]" >&2
    exit 2
fi
photos=${1%%,*} chips= name=$2
case $1 in *,*) chips=${1#*,} ;; esac
photos=${photos%/} chips=${chips%/}
checkpoints=${CHECKPOINTS:-./checkpoints} python=${PYTHON:-python}
shift 2

# select_photos DATAROOT OUTPUT OPTIONS...: link the photos of people who look their age, unless that was done
select_photos() {
    data=$1 output=$2
    shift 2
    [ -e "$output" ] || "$python" scripts/select_by_apparent_age.py --dataroot "$data" --output "$output" "$@"
}

# train DATAROOT NAME OPTIONS...: start the run, or resume it with the options that it was started with
train() {
    data=$1 run=$2
    shift 2
    [ ! -e "$checkpoints/$run/latest_net_G_A.pth" ] || set -- --continue_train
    "$python" train.py --dataroot "$data" --name "$run" --checkpoints_dir "$checkpoints" "$@"
}

select_photos "$photos" "${photos}_apparent"
select_photos "$photos" "${photos}_grey" --old_photos "${GREY_HAIR:-scripts/grey_hair.txt}"
sets=${photos}_apparent,${photos}_grey shares=3,3
if [ -n "$chips" ]; then
    select_photos "$chips" "${chips}_apparent"
    sets=$sets,${chips}_apparent shares=$shares,4
fi
[ -e "${photos}_joined" ] || "$python" scripts/join_datasets.py --dataroot "$sets" --shares "$shares" \
    --output "${photos}_joined"

train "$photos" "${name}_start" --preset fast128 --n_epochs 1 --n_epochs_decay 0 "$@"
train "${photos}_joined" "$name" --preset best --init_from "${name}_start" --match gender,race "$@"

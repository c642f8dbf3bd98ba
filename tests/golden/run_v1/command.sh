#!/bin/sh
# Repeats this run; flags given to this script are added. What was typed:
#   run.py --experiment_id=digits --epochs=2 --use_cuda=false --limit_train_samples=200 '--hidden_sizes=[8]' --dropout=0.1 --ema_decay=0.9 --results_dir=/home/ann/results --cache_dir=/home/ann/cache --log_every_n_steps=5 --keep_checkpoints=2
run_dir=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
cd -- /home/ann/lab || exit 1
for name in $(env | sed -n 's/^\(LABWRIGHT_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done
exec /home/ann/lab/.venv/bin/python /home/ann/lab/run.py --config="$run_dir/args.yaml" --cache_dir=/home/ann/cache --results_dir=/home/ann/results --use_cuda=false --log_every_n_steps=5 --keep_checkpoints=2 "$@"

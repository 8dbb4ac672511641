# shellcheck shell=bash disable=SC2034
# Settings of one machine for make/shell_docker: copy to _env/machine_config.bashrc (ignored by git) and change there.
# Folders are absolute paths, mounted at the same path in the container and named there by the same variables. Commands do
# not look into these by themselves: give them, as in --checkpoints "$CHECKPOINTS_DIR".

# Datasets and results.
DATA_DIR=$PWD/_data

# Trained models.
CHECKPOINTS_DIR=$PWD/checkpoints

# Shared memory, through which data loader workers pass their batches.
SHM_SIZE=8g

# GPUs the container sees where the machine has any: "all", or some by number, as "device=0,2".
GPUS=all

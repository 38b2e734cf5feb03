#!/bin/bash
# Train on a Slurm cluster, and go on by itself when the time is up or the node is taken away:
#
#     sbatch slurm.sh path/to/images runs/mine --recipe dcgan --kimg 20000
#
# Five minutes before the end this script is told; the ranks save, and the job goes back to the queue,
# where the same command goes on from the newest checkpoint.
#SBATCH --job-name=gannet
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300

data=$1 run=$2
shift 2
ranks=${RANKS_PER_NODE:-${SLURM_GPUS_ON_NODE:-1}}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=240 # seconds that torchrun gives the ranks to save

srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "$ranks" \
    --rdzv-backend c10d --rdzv-endpoint "$first:${PORT:-29400}" --rdzv-id "$SLURM_JOB_ID" \
    -m gannet -- train "$data" --run "$run" --if-exists resume \
    --data.cache "${SLURM_TMPDIR:-/tmp}/gannet" "$@" &
step=$!

again=
trap 'again=yes; scancel --signal=TERM "$SLURM_JOB_ID"' USR1 # to every rank; srun would kill them for a TERM of its own
wait "$step"
status=$?
if [ "$again" ]; then
    wait "$step" # the trap ended the first wait
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$status"

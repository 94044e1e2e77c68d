#!/bin/bash
#SBATCH --job-name=millsight
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=millsight-%j.log
#
# One millsight command on a Ray that lives as long as this allocation:
#   sbatch --export=ALL,OUTPUT=/shared/runs/steel-maps slurm.sh extract --data /shared/steel
# OUTPUT and the data lie on a file system that all nodes see; the environment that holds millsight
# is active in the shell that calls sbatch. Submitting it again goes on where it stopped.
set -euo pipefail

: "${OUTPUT:?set OUTPUT to the directory of the artifact, as in sbatch --export=ALL,OUTPUT=...}"
if [ "$#" -eq 0 ]; then
    echo "slurm.sh: name a millsight command after the script, as in slurm.sh extract --data ..." >&2
    exit 2
fi

head_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Jobs that share a node must not share a Ray: the port comes from the job's number.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_USAGE_STATS_ENABLED=0

srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run \
    --address "$head_node:$port" \
    --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" \
    -- \
    python -m millsight.platform.cli "$@" --output "$OUTPUT" \
    --execution.executor ray --execution.address auto ||
    echo "slurm.sh: the run on Ray ended with an error, see above" >&2

# symmetric-run returns 0 even where `ray start` failed: only the finished artifact counts.
if [ ! -f "$OUTPUT/artifact.json" ]; then
    echo "slurm.sh: $OUTPUT/artifact.json is missing; the run is unfinished. Submit it again." >&2
    exit 1
fi
echo "slurm.sh: $OUTPUT is finished"

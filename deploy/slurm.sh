#!/usr/bin/env bash
# A command of Einthoven on a Ray cluster of several SLURM nodes, which ends with it:
#   sbatch deploy/slurm.sh prepare ptb-xl /shared/ptb-xl /shared/datasets/ptb-xl-100
#   sbatch --gpus-per-node=1 deploy/slurm.sh train recipe.yaml training.devices=4
# The environment with einthoven[ray] and all data lie on storage that every node sees.
#SBATCH --job-name=einthoven
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail

source "${EINTHOVEN_VENV:-$PWD/.venv}/bin/activate"
export RAY_USAGE_STATS_ENABLED=0 OMP_WAIT_POLICY=PASSIVE

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${nodes[0]}"
ip="$(srun --nodes=1 --ntasks=1 -w "$head" hostname -I | awk '{print $1}')"
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs may share a node's network

srun --nodes=1 --ntasks=1 -w "$head" --overlap \
  ray start --head --node-ip-address="$ip" --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false --block &
for node in "${nodes[@]:1}"; do
  srun --nodes=1 --ntasks=1 -w "$node" --overlap \
    ray start --address="$ip:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
done
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# The head answers after some seconds; einthoven itself says in a sentence where it does not.
for _ in $(seq 60); do
  if (exec 3<>"/dev/tcp/$ip/$port") 2>/dev/null; then break; fi
  sleep 2
done
srun --nodes=1 --ntasks=1 -w "$head" --overlap einthoven "$@" --ray "$ip:$port"

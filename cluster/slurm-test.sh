#!/usr/bin/env bash
# A SLURM of two nodes on this one machine, for tests. Everything that it makes lies in one directory.
#
#     apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge
#     cluster/slurm-test.sh up
#     eval "$(cluster/slurm-test.sh env)"     # exports SLURM_CONF, by which sbatch and the others find it
#     pytest -m slurm -n 0
#     cluster/slurm-test.sh down
#
# Run as root, on a machine without systemd too. Daemons that the distribution started are left alone: key,
# sockets and ports are its own. Memory and cores are numbers for the scheduler, and not enforced.
set -euo pipefail

directory=${ETENDUE_SLURM_DIR:-/tmp/etendue-slurm}  # short: sockets' paths may have 107 characters
first_port=${ETENDUE_SLURM_PORT:-26850}
nodes=(node1 node2)
host=$(hostname -s)
export SLURM_CONF=$directory/slurm.conf

write_configuration() {
    cat >"$SLURM_CONF" <<CONF
ClusterName=etendue
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$first_port
SlurmUser=root
SlurmdUser=root

# Proof of identity by a munge with a key of its own.
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$directory/munge/socket

StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool-%n
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd-%n.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/slurmd-%n.log

# No control groups, no accounting: a container has neither.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none

# More cores than the machine has, jobs that start at once, daemons that end soon.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2
PropagateResourceLimits=NONE
ReturnToService=2
SlurmdTimeout=10
KillWait=5
CONF
    local port=$first_port node
    for node in "${nodes[@]}"; do
        port=$((port + 1))
        echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$port CPUs=4 RealMemory=8000" >>"$SLURM_CONF"
    done
    echo "PartitionName=test Nodes=ALL Default=YES MaxTime=60 State=UP" >>"$SLURM_CONF"
}

runs() { # PIDFILE
    [[ -s $1 ]] && kill -0 "$(<"$1")" 2>/dev/null
}

end() { # PIDFILE: ask the daemon to end, and make it end after five seconds
    runs "$1" || return 0
    local pid
    pid=$(<"$1")
    kill "$pid" 2>/dev/null || return 0
    for _ in {1..50}; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

idle_nodes() {
    timeout 10 sinfo --noheader --Node --format=%T 2>/dev/null | grep -cx idle || true
}

up() {
    install -d -m 0755 "$directory" "$directory/state"
    install -d -m 0755 -o munge -g munge "$directory/munge"
    if [[ ! -s $directory/munge/key ]]; then
        (umask 077 && head -c 1024 /dev/urandom >"$directory/munge/key")
        chown munge:munge "$directory/munge/key"
    fi
    write_configuration
    runs "$directory/munge/pid" || setpriv --reuid munge --regid munge --clear-groups munged \
        --key-file="$directory/munge/key" --socket="$directory/munge/socket" --pid-file="$directory/munge/pid" \
        --log-file="$directory/munge/log" --seed-file="$directory/munge/seed"
    runs "$directory/slurmctld.pid" || slurmctld -c -f "$SLURM_CONF"
    local node
    for node in "${nodes[@]}"; do
        install -d "$directory/spool-$node"
        runs "$directory/slurmd-$node.pid" || slurmd -f "$SLURM_CONF" -N "$node"
    done
    for _ in {1..100}; do
        if [[ $(idle_nodes) == "${#nodes[@]}" ]]; then
            timeout 10 sinfo
            return
        fi
        sleep 0.2
    done
    echo "slurm-test.sh: the nodes are not idle after 20 s; the logs end with" >&2
    tail -n 20 "$directory"/*.log "$directory/munge/log" >&2
    return 1
}

down() {
    [[ -d $directory ]] || return 0
    if runs "$directory/slurmctld.pid"; then
        timeout 10 scancel --partition=test 2>/dev/null || true
        for _ in {1..50}; do
            [[ -z $(timeout 10 squeue --noheader 2>/dev/null) ]] && break
            sleep 0.2
        done
    fi
    local pid_file
    for pid_file in "$directory"/slurmd-*.pid "$directory/slurmctld.pid" "$directory/munge/pid"; do
        end "$pid_file"
    done
    rm -rf "$directory"
}

case ${1:-} in
up) up ;;
down) down ;;
status) timeout 10 sinfo --Node && timeout 10 squeue ;;
env) echo "export SLURM_CONF=$SLURM_CONF" ;;
*)
    echo "usage: $0 up|down|status|env" >&2
    exit 2
    ;;
esac

#!/usr/bin/env bash
# Every cluster by the same five verbs; `make cluster-<verb> CLUSTER=<cluster>` calls this.
#   cluster.sh up|submit|status|logs|down machine|onprem|aws|gcp|kuberay|rayjob|slurm
# From the environment: IMAGE, PROJECT, SWEEP, OUT, WORKERS, GPUS, ARGS. Rendered files and the last job's name: out/cluster/.
set -euo pipefail
verb=${1:?a verb: up, submit, status, logs or down}
cluster=${2:?a cluster: machine, onprem, aws, gcp, kuberay, rayjob or slurm}
cd "$(dirname "$0")/../.."
here=ray_configs/cluster kept=out/cluster port=${PORT:-8265}
PATH="$PWD/.venv/bin:$PATH"
tagged=sweeps:0.1.0-py3.11-ray2.60.0
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
mkdir -p "$kept"

fail() { echo "error: $*" >&2; exit 2; }

# $1: a file of this folder; prints the path of the copy in which image, project, sweep and output are filled in.
render() {
    sed -e "s#$tagged#${IMAGE:-$tagged}#" -e "s#your-project#${PROJECT:-your-project}#" \
        -e "s#^  entrypoint: .*#  entrypoint: $(command_line)#" "$here/$1" > "$kept/$(basename "$1")"
    echo "$kept/$(basename "$1")"
}

command_line() {
    local gpus=${GPUS:-} workers=${WORKERS:-}
    case $cluster in aws | gcp | kuberay | rayjob) gpus=${gpus:-1} workers=${workers:-8} ;; esac
    echo "python -m sweeps run ${SWEEP:-ray_configs/sweeps/mini.toml} --address auto --out $(output)" \
        "${workers:+--workers $workers }${gpus:+--gpus $gpus }${ARGS:-}" | sed 's/ *$//'
}

# An output that every machine sees: a URI or an absolute path. On this machine a relative one is as good.
output() {
    local out=${OUT:-/mnt/sweeps/mini}
    case $out in
        *://* | /*) echo "$out" ;;
        *) [ "$cluster" = machine ] || fail "OUT must be s3://bucket/folder or an absolute path on shared storage, got $out"
           echo "$PWD/$out" ;;
    esac
}

token() { [ -n "${RAY_AUTH_TOKEN:-}" ] || ray get-auth-token --generate > /dev/null; }

# Runs "$@" while http://127.0.0.1:$port leads to the cluster's dashboard, which itself listens to its own machine only.
through() {
    local tunnel=
    case $cluster in
        onprem | aws | gcp) ray dashboard --port "$port" "$(render $cluster.yaml)" > "$kept/tunnel.log" 2>&1 & tunnel=$! ;;
        kuberay)
            RAY_AUTH_TOKEN=$(kubectl get secret sweeps -o 'jsonpath={.data.auth_token}' | base64 -d)
            export RAY_AUTH_TOKEN
            kubectl port-forward service/sweeps-head-svc "$port:8265" > "$kept/tunnel.log" 2>&1 & tunnel=$! ;;
    esac
    if [ -n "$tunnel" ]; then
        trap "kill $tunnel 2> /dev/null || true" EXIT
        for _ in $(seq 60); do (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break; sleep 0.5; done
    fi
    "$@"
}

last() { cat "$kept/$cluster.job" 2> /dev/null || fail "no job was submitted to $cluster from here: make cluster-submit CLUSTER=$cluster"; }

submit() {
    local job
    job=sweeps-$(date -u +%Y%m%d-%H%M%S)
    output > /dev/null
    # shellcheck disable=SC2046  # the command line is words
    through ray job submit --address "http://127.0.0.1:$port" --submission-id "$job" --no-wait --working-dir . \
        --runtime-env "$here/runtime_env.yaml" -- $(command_line)
    echo "$job" > "$kept/$cluster.job"
    echo "submitted $job; make cluster-logs CLUSTER=$cluster"
}

case $cluster:$verb in
    machine:up) token; ray start --head --port=6379 --dashboard-host=127.0.0.1 --dashboard-port="$port" ;;
    machine:down) ray stop ;;               # ends every Ray process of this user on this machine
    onprem:up | aws:up | gcp:up) token; ray up --yes "$(render $cluster.yaml)" ;;
    onprem:down | aws:down | gcp:down) ray down --yes "$(render $cluster.yaml)" ;;
    kuberay:up) kubectl apply -f "$(render kuberay/raycluster.yaml)"
        kubectl wait --for=condition=HeadPodReady --timeout=900s raycluster/sweeps ;;
    kuberay:down) kubectl delete raycluster/sweeps ;;
    rayjob:up) echo "a RayJob brings its own cluster: make cluster-submit CLUSTER=rayjob" ;;
    rayjob:submit) output > /dev/null; kubectl delete --ignore-not-found rayjob/sweeps; kubectl apply -f "$(render kuberay/rayjob.yaml)" ;;
    rayjob:status) kubectl get rayjob/sweeps ;;
    rayjob:logs) kubectl logs --follow job/sweeps ;;
    rayjob:down) kubectl delete rayjob/sweeps ;;
    slurm:up) echo "Slurm brings the nodes with the job: make cluster-submit CLUSTER=slurm" ;;
    slurm:submit) out=$(output)             # not inside the next line: a failure there would go unseen
        # shellcheck disable=SC2086
        SWEEP=${SWEEP:-ray_configs/sweeps/mini.toml} OUT=$out sbatch --parsable ${ARGS:-} "$here/slurm.sbatch" > "$kept/slurm.job"
        echo "submitted $(cat "$kept/slurm.job"); make cluster-logs CLUSTER=slurm" ;;
    slurm:status) squeue --jobs "$(last)" ;;
    slurm:logs) tail -n +1 -F "sweeps-$(last).log" ;;
    slurm:down) scancel "$(last)" ;;
    machine:submit | onprem:submit | aws:submit | gcp:submit | kuberay:submit) submit ;;
    machine:status | onprem:status | aws:status | gcp:status | kuberay:status)
        job=$(last); through ray job status --address "http://127.0.0.1:$port" "$job" ;;
    machine:logs | onprem:logs | aws:logs | gcp:logs | kuberay:logs)
        job=$(last); through ray job logs --follow --address "http://127.0.0.1:$port" "$job" ;;
    *) fail "a verb (up, submit, status, logs, down) and a cluster (machine, onprem, aws, gcp, kuberay, rayjob, slurm) are needed, got: $verb $cluster" ;;
esac

#!/usr/bin/env bash
# What setup-backup.sh, backup-now.sh and restore-backup.sh share. Runs on the bash 3.2 of macOS too.
# Exit codes as the programs have them: 1 failed, 2 wrong usage, 4 refused for safety.

namespace=database
context=""
assume_yes=""
dry_run=""
# A dry run that does not reach the cluster either.
offline=""
account=""
program=$(basename "$0" .sh)

say() { printf '%s\n' "$*" >&2; }

# fail CODE MESSAGE [HINT]
fail() {
    say "$program: $2"
    [ $# -lt 3 ] || say "hint: $3"
    exit "$1"
}

# Checks that an option is followed by a value: need_value OPTION "$@"
need_value() {
    [ "$#" -ge 3 ] || fail 2 "$1 needs a value" "$program.sh --help says which"
}

# Checks a number of days: need_days OPTION VALUE
need_days() {
    case $2 in
    "" | *[!0-9]* | 0) fail 2 "$1 needs a number of days, not '$2'" ;;
    esac
}

# Checks the name of a directory within the stores: need_name OPTION NAME
need_name() {
    case $2 in
    [!A-Za-z0-9]* | *[!A-Za-z0-9._-]* | "")
        fail 2 "$1 needs a name of letters, digits, '.', '_' and '-', not '$2'"
        ;;
    wal) fail 2 "$1 cannot be 'wal'" "the WAL archive is there" ;;
    esac
}

# need_command NAME HINT
need_command() {
    command -v "$1" >/dev/null || fail 1 "'$1' is not installed" "$2"
}

# Asks. Without a terminal, --yes must have been given.
confirm() {
    [ -z "$assume_yes$dry_run" ] || return 0
    [ -t 0 ] || fail 4 "not confirmed: $1" "there is no terminal to ask on: --yes confirms, --dry-run shows"
    local answer
    printf '%s [y/N] ' "$1" >&2
    read -r answer || answer=""
    case $answer in
    y | Y | yes | Yes | YES) ;;
    *) fail 4 "nothing was done: not confirmed" ;;
    esac
}

# kubectl on the chosen context and in the namespace.
kube() { kubectl --context "$context" --namespace "$namespace" "$@"; }

# Runs a command that changes something; with --dry-run, only shows it.
change() {
    if [ -n "$dry_run" ]; then
        case $1 in
        kube) shift && set -- kubectl --context "$context" --namespace "$namespace" "$@" ;;
        storage) shift && set -- az storage "$@" --account-name "$account" ;;
        azure) shift && set -- az "$@" ;;
        esac
        printf 'would run:' >&2
        printf ' %q' "$@" >&2
        printf '\n' >&2
    else
        "$@"
    fi
}

# Finds the context, given or current, and checks that its cluster answers.
find_cluster() {
    need_command kubectl "https://kubernetes.io/docs/tasks/tools/"
    if [ -z "$context" ]; then
        context=$(kubectl config current-context 2>/dev/null) ||
            fail 1 "kubectl has no current context" "kubectl config use-context primary-aks-cluster, or --context"
    fi
    [ -z "$offline" ] || return 0
    kubectl --context "$context" version --request-timeout=20s >/dev/null ||
        fail 1 "the cluster of context '$context' does not answer" "az aks get-credentials writes the context again"
}

find_namespace() {
    [ -z "$offline" ] || return 0
    kubectl --context "$context" get namespace "$namespace" >/dev/null ||
        fail 1 "context '$context' has no namespace '$namespace'" "does PostgreSQL run in this cluster?"
}

# Prints a secret's value, or nothing if there is none: secret_value SECRET KEY
secret_value() {
    local value
    value=$(kube get secret "$1" --ignore-not-found --output "jsonpath={.data.$(printf '%s' "$2" | sed 's/\./\\./g')}") ||
        fail 1 "cannot read the secret '$1'" "kubectl auth can-i get secrets -n $namespace"
    printf '%s' "$value" | base64 --decode
}

# Checks that setup-backup.sh has been here: need_cronjob NAME
need_cronjob() {
    kube get cronjob "$1" --output name >/dev/null ||
        fail 1 "the CronJob '$1' is not in namespace '$namespace'" "setup-backup.sh makes it"
}

# A text as a JSON string.
json() { printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }')"; }

# A job's name with the time in it, and a random number for jobs made in the same second.
job_name() { printf '%s-%s-%04x' "$1" "$(date -u +%Y%m%d-%H%M%S)" "$RANDOM"; }

# Prints a field of a job's newest pod, or nothing if there is no pod: pod_of JOB JSONPATH
pod_of() {
    kube get pods --selector "job-name=$1" --sort-by=.metadata.creationTimestamp \
        --output "jsonpath={.items[-1:]$2}" 2>/dev/null || true
}

# Waits until the pod of a job runs or has run; says what keeps it from running.
wait_for_pod() {
    local job=$1 seconds=${START_SECONDS:-300} waited=0 trouble told=""
    while :; do
        case $(pod_of "$job" .status.phase) in Running | Succeeded | Failed) return 0 ;; esac
        trouble=$(pod_of "$job" '.status.containerStatuses[0].state.waiting.reason')
        case $trouble in
        "" | ContainerCreating | PodInitializing)
            trouble=$(pod_of "$job" '.status.conditions[?(@.reason=="Unschedulable")].message')
            ;;
        *) trouble="$trouble: $(pod_of "$job" '.status.containerStatuses[0].state.waiting.message')" ;;
        esac
        if [ -n "$trouble" ] && [ "$trouble" != "$told" ]; then
            say "job $job waits: $trouble"
            told=$trouble
        fi
        [ "$waited" -lt "$seconds" ] ||
            fail 1 "the pod of job '$job' did not start within $seconds s${told:+: $told}" \
                "kubectl describe job $job -n $namespace; kubectl describe pod -l job-name=$job -n $namespace"
        waited=$((waited + 1))
        sleep 1
    done
}

# Shows the log of a job with one pod until it has ended, and returns its exit code: follow_job NAME
follow_job() {
    local job=$1 since=() pause code pods
    wait_for_pod "$job"
    # A broken connection does not end the job: look again, from where the log is by then.
    while :; do
        kube logs --follow "job/$job" ${since[@]+"${since[@]}"} || true
        for pause in 1 2 3 4 5; do
            code=$(pod_of "$job" '.status.containerStatuses[0].state.terminated.exitCode')
            [ -z "$code" ] || return "$code"
            # Evicted, or lost with its node: no container is left to have an exit code.
            [ "$(pod_of "$job" .status.phase)" != Failed ] ||
                fail 1 "the pod of job '$job' was ended: $(pod_of "$job" .status.reason) $(pod_of "$job" .status.message)" \
                    "kubectl describe pod -l job-name=$job -n $namespace"
            # An answer without a pod, not the lack of an answer.
            if pods=$(kube get pods --selector "job-name=$job" --output name) && [ -z "$pods" ]; then
                fail 1 "the pod of job '$job' is gone" "kubectl describe job $job -n $namespace"
            fi
            sleep "$pause"
        done
        since=(--since=15s)
    done
}

# Prints a Job made from a CronJob, changed by JSON patch operations: make_job FORMAT CRONJOB NAME [OPERATIONS]
# It runs once: somebody is watching.
make_job() {
    kube create job "$3" --from="cronjob/$2" --dry-run=client --output json |
        kubectl patch --local --filename - --output "$1" --type json \
            --patch "[{\"op\": \"add\", \"path\": \"/spec/backoffLimit\", \"value\": 0}${4:+, $4}]"
}

# Starts such a Job and follows it: run_job CRONJOB NAME [OPERATIONS]
run_job() {
    make_job json "$@" | kube create --filename - >/dev/null ||
        fail 1 "cannot make the Job '$2' from the CronJob '$1'"
    say "job $2 in namespace $namespace"
    follow_job "$2"
}

# Prints what is different about the Job of a backup, as JSON patch operations: backup_operations CRONJOB
backup_operations() { :; }

# Makes a backup from each of these CronJobs, also where one before has failed, and ends with the highest exit code:
# run_backups CRONJOB...
run_backups() {
    local cronjob code worst=0 failed=""
    for cronjob; do
        code=0
        # In a subshell, which ends if the job does not start.
        (run_job "$cronjob" "$(job_name "manual-${cronjob#postgresql-}")" "$(backup_operations "$cronjob")") || code=$?
        [ "$code" = 0 ] || failed="$failed${failed:+, }$cronjob with exit code $code"
        [ "$code" -le "$worst" ] || worst=$code
    done
    [ -z "$failed" ] || fail "$worst" "a backup failed: $failed" "its log is above; docs/runbook.md, \"A backup job fails\""
}

#!/usr/bin/env bash
# Makes a backup now, of one kind or both, and verifies it: before a schema change, an upgrade, a failover or a failback.
# A Job in the cluster does the work, with the image and the secrets of the nightly backups. Nothing is asked, and nothing
# is pruned.
# shellcheck disable=SC2016 # $STORE and the others are for the Job's shell
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"

usage() {
    cat <<'USAGE'
usage: backup-now.sh [options]

  --to STORE         local (the volume), azure, or both (default: both)
  --keep NAME        put it where nothing prunes: /backups/NAME/ and the container's NAME/
                     (restore-backup.sh --in NAME finds it)
  --context NAME     kubectl context (default: the current one)
  --dry-run          print the Jobs without starting them
  -h, --help

Exit codes: 0 made and verified; else that of the program which failed: 1 failed, 2 wrong usage, 3 the backup is not
good, 4 refused (another backup is being written). With both, the other one is made all the same, and the higher
code counts. If this script is stopped, the Job goes on: kubectl logs -f shows it.
USAGE
}

to=both keep=""
while [ $# -gt 0 ]; do
    case $1 in
    --to) need_value "$1" "$@" && to=$2 && shift ;;
    --keep) need_value "$1" "$@" && need_name "$1" "$2" && keep=$2 && shift ;;
    --context) need_value "$1" "$@" && context=$2 && shift ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage && exit 0 ;;
    *) fail 2 "unknown option '$1'" "backup-now.sh --help lists them" ;;
    esac
    shift
done
case $to in
local) cronjobs=(postgresql-backup) ;;
azure) cronjobs=(postgresql-backup-to-azure) ;;
both) cronjobs=(postgresql-backup postgresql-backup-to-azure) ;;
*) fail 2 "--to is local, azure or both, not '$to'" ;;
esac

# What the Jobs run in the place of the nightly lines: the backup is verified, whatever else is in the store. Their $1 is
# the directory.
local_line='export PGPASSWORD="$(cat /run/secrets/postgresql/password)"
store="/backups${1:+/$1}"
mkdir -p "$store"
backup="$(pgdump-gz --dir "$store")"
echo "$backup"
backup-verify "$backup"'
azure_line='export PGPASSWORD="$(cat /run/secrets/postgresql/password)"
store="${STORE%/}${1:+/$1}"
backup="$(pgdump-gz | blob-put - "$store/")"
echo "$backup"
backup-verify "${backup%%[[:space:]]*}"'

backup_operations() {
    local line=$azure_line
    [ "$1" != postgresql-backup ] || line=$local_line
    printf '{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": [%s, "backup-now", %s]}' \
        "$(json "$line")" "$(json "$keep")"
}

find_cluster
find_namespace
for cronjob in "${cronjobs[@]}"; do
    need_cronjob "$cronjob"
    [ "$(kube get cronjob "$cronjob" --output 'jsonpath={.spec.jobTemplate.spec.completionMode}')" != Indexed ] ||
        fail 2 "the CronJob '$cronjob' backs up a fleet" "kubectl create job --from=cronjob/$cronjob NAME -n $namespace"
done
if [ -n "$dry_run" ]; then
    for cronjob in "${cronjobs[@]}"; do
        echo ---
        make_job yaml "$cronjob" "$(job_name "manual-${cronjob#postgresql-}")" "$(backup_operations "$cronjob")"
    done
    exit
fi
say "context:  $context"
say "backup:   $to${keep:+, kept as '$keep'}"
run_backups "${cronjobs[@]}"
say "made and verified"

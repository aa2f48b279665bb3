#!/usr/bin/env bash
# Restores a backup, or one database of it, into a cluster's PostgreSQL, or brings it back to a moment. A Job in the cluster does the work, with the
# image and the secrets of the backups. The script asks for what no option says.
# shellcheck disable=SC2016 # $(STORE) is for Kubernetes to expand, $STORE for the Job's shell
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"
# shellcheck source-path=SCRIPTDIR source=recovery.sh
. "$here/recovery.sh"

usage() {
    cat <<'USAGE'
usage: restore-backup.sh [options] [-- OPTION-OF-RESTORE-STREAM...]

  --list             list the backups with age, size and state; restore nothing
  --from STORE       store of the backup: local (the volume) or azure
  --in NAME          look in the directory NAME of the stores: what backup-now.sh --keep NAME
                     made, or a service of the fleet
  --backup NAME      this backup: postgresql_backup_YYYYMMDD_HHMMSS.sql.gz
  --latest           the newest good backup
  --before TIME      the newest good backup before TIME (UTC): '2025-11-23 02:00'
  --at TIME          back to this moment, by a base backup and WAL: '2025-11-23 01:59:30Z';
                     or end (all that was archived), lsn:A/B, xid:N, name:RESTORE_POINT
  --all              restore everything: roles and all databases; with --at, the whole
                     cluster into a new claim, which takes the place of the old one
  --database DB      restore one database
  --as NAME          restore it under another name (needs --database)
  --replace          replace existing databases, and keep them as DB_replaced_…
  --statefulset NAME with --at: PostgreSQL's StatefulSet (default: postgresql-primary)
  --claim-size SIZE  with --at: of the claim that is made (default: as the old one)
  --wait TIME        with --at and --all: until the server has recovered, at most 90m, 12h
                     (default: 12h); it goes on by itself
  --context NAME     kubectl context (default: the current one)
  --yes              ask nothing
  --dry-run          print the Job without starting it (kubectl create -f - does); asks nothing
  -h, --help

Exit codes, as restore-stream has them: 0 done, 1 failed, 2 wrong usage, 3 the backup is not good, 4 refused or
not confirmed. If this script is stopped, the Job goes on: kubectl logs -f shows it.
USAGE
}

from="" in="" backup="" choice="" before="" moment="" what="" database="" name="" replace="" list="" more=()
while [ $# -gt 0 ]; do
    case $1 in
    --list) list=yes ;;
    --from) need_value "$1" "$@" && from=$2 && shift ;;
    --in) need_value "$1" "$@" && need_name "$1" "$2" && in=/$2 && shift ;;
    --backup) need_value "$1" "$@" && choice=backup backup=${2##*/} && shift ;;
    --latest) choice=latest ;;
    --before) need_value "$1" "$@" && choice=before before=$2 && shift ;;
    --at) need_value "$1" "$@" && choice=moment moment=$2 && shift ;;
    --statefulset) need_value "$1" "$@" && statefulset=$2 && shift ;;
    --claim-size) need_value "$1" "$@" && claim_size=$2 && shift ;;
    --wait) need_value "$1" "$@" && wait=$2 && shift ;;
    --all) what=all ;;
    --database) need_value "$1" "$@" && what=database database=$2 && shift ;;
    --as) need_value "$1" "$@" && name=$2 && shift ;;
    --replace) replace=yes ;;
    --context) need_value "$1" "$@" && context=$2 && shift ;;
    --yes) assume_yes=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage && exit 0 ;;
    --)
        shift
        more=("$@")
        break
        ;;
    *) fail 2 "unknown option '$1'" "restore-backup.sh --help lists them" ;;
    esac
    shift
done
case $from in
"" | local | azure) ;;
*) fail 2 "--from is local or azure, not '$from'" ;;
esac
if [ "$choice" = moment ]; then
    [ "$from" != local ] || fail 2 "--at is from azure: base backups and WAL are there"
    [ "$what" != all ] || [ -z "$replace" ] || fail 2 "--replace needs --database: the whole cluster gets a new claim"
    from=azure
fi
[ -z "$name" ] || [ "$what" = database ] || fail 2 "--as needs --database"
[ -n "$(seconds "$wait")" ] || fail 2 "--wait needs a time such as 90m or 12h, not '$wait'"
if [ -n "$dry_run" ] && { [ -z "$choice" ] || [ -z "$from" ] || [ -z "$what" ]; }; then
    fail 2 "--dry-run asks nothing" "say --from, one of --backup, --latest and --before (or --at), and --all or --database"
fi

# Prints an argument of the Job. Kubernetes expands $(STORE), the container's URL, and must expand nothing else.
argument() {
    case $1 in
    '$(STORE)'*) json "$1" ;;
    *) json "$(printf '%s' "$1" | sed 's/\$(/$$(/g')" ;;
    esac
}

# Prints the patch that gives the Job its arguments: job_arguments ARGUMENT...
job_arguments() {
    local words="" word
    for word in "$@"; do
        words="$words${words:+, }$(argument "$word")"
    done
    printf '{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": [%s]}' "$words"
}

# Runs restore-stream in a Job, shows its log, and returns its exit code: restore_stream NAME ARGUMENT...
restore_stream() {
    local job
    job=$(job_name "$1")
    shift
    run_job postgresql-restore "$job" "$(job_arguments "$@")"
}

# Lists both stores in numbered lines `local NAME …` and `azure NAME …`: name, size, time, age, state. If one of them
# cannot be listed, the other is, and the exit code says so.
list_backups() {
    local code=0 line='list() { restore-stream "$2" --list | sed "s/^/$1  /" || code=$?; }'
    line="set -o pipefail; code=0; $line; list local /backups$in; list azure \"\${STORE%/}$in\"; exit \$code"
    run_job postgresql-restore "$(job_name list-backups)" "
        {\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/command\", \"value\": [\"sh\", \"-c\", $(json "$line")]},
        {\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/args\", \"value\": []}" >"$scratch/list" ||
        code=$?
    awk '/^(local|azure) .*postgresql_backup_/ { printf "%3d  %s\n", ++n, $0; next } { print "     " $0 }' "$scratch/list"
    [ "$code" = 0 ] || say "$program: not all backups could be listed (exit code $code)"
    return "$code"
}

need_terminal() { # WHAT
    [ -t 0 ] || fail 2 "$1 is not said, and there is no terminal to ask on" "restore-backup.sh --help lists the options"
}

ask() { # VARIABLE QUESTION
    printf '%s ' "$2" >&2
    local typed
    read -r typed || fail 4 "nothing was done"
    printf -v "$1" '%s' "$typed"
}

choose_backup() {
    local number chosen
    need_terminal 'which backup'
    list_backups || true
    ask number 'number of the backup:'
    chosen=$(awk -v number="$number" '/^(local|azure) .*postgresql_backup_/ && ++n == number' "$scratch/list")
    [ -n "$chosen" ] || fail 2 "there is no backup of number '$number' in the list"
    from=${chosen%% *}
    backup=$(printf '%s' "$chosen" | sed 's/.*\(postgresql_backup_[0-9_]*\.sql\.gz\).*/\1/')
    choice=backup
}

choose_what() {
    local answer
    need_terminal 'what to restore'
    if [ "$choice" != moment ]; then
        restore_stream list-databases "${source[@]}" --list || fail $? "the backup could not be read"
    fi
    ask answer 'database to restore (nothing: everything):'
    what=all
    if [ -n "$answer" ]; then
        what=database database=$answer
        ask name "under which name (nothing: '$database'):"
    fi
}

# The arguments that name the backup to restore-stream.
name_source() {
    local store=/backups$in
    [ "$from" != azure ] || store='$(STORE)'$in
    case $choice in
    backup) source=("$store/$backup") ;;
    latest) source=("$store" --latest) ;;
    before) source=("$store" --before "$before") ;;
    esac
}

show_plan() {
    say "context:  $context"
    case $choice in
    backup) say "backup:   $backup ($from)" ;;
    latest) say "backup:   the newest good one ($from)" ;;
    before) say "backup:   the newest good one before $before ($from)" ;;
    esac
    case $what in
    all) say "restores: everything: the roles that are missing, and all databases" ;;
    database) say "restores: the database '$database'${name:+ as '$name'}" ;;
    esac
    if [ -n "$replace" ]; then
        say "          in the place of what is there; its connections are closed, it is kept as …_replaced_…"
        say "stop the applications first: what they write from now on is not in the backup"
    else
        say "          beside what is there: a database of that name that is not empty is refused"
    fi
}

scratch=$(umask 077 && mktemp -d)
trap 'rm -rf "$scratch"' EXIT
find_cluster
find_namespace
need_cronjob postgresql-restore
if [ -n "$list" ]; then
    list_backups
    exit
fi
if [ -z "$choice" ]; then
    choose_backup
fi
if [ -z "$from" ]; then
    need_terminal 'where the backup is'
    ask from 'from local or azure?'
    case $from in local | azure) ;; *) fail 2 "it is local or azure, not '$from'" ;; esac
fi
source=()
name_source
if [ -z "$what" ]; then
    choose_what
fi

if [ "$choice" = moment ]; then
    read_statefulset
    say "context:  $context"
    recovery_arguments
    case $what in
    all) recover_cluster ;;
    database) recover_database ;;
    esac
    exit
fi
arguments=("${source[@]}" --yes)
[ "$what" = all ] || arguments+=(--database "$database")
[ -z "$name" ] || arguments+=(--as "$name")
[ -z "$replace" ] || arguments+=(--replace --force-disconnect)
arguments+=(${more[@]+"${more[@]}"})
show_plan
if [ -n "$dry_run" ]; then
    make_job yaml postgresql-restore "$(job_name restore)" "$(job_arguments "${arguments[@]}")"
    exit
fi
confirm "restore now?"
code=0
restore_stream restore "${arguments[@]}" || code=$?
if [ "$code" = 0 ]; then
    say "restored"
else
    say "restore-backup: the restore failed with exit code $code; what was there before is unchanged where the log does not say otherwise"
fi
exit "$code"

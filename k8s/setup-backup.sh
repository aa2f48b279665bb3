#!/usr/bin/env bash
# Sets up the backups of one cluster's PostgreSQL: the volume and the local backups, the container in Azure, its token or
# an identity, and the backups to it. Run again, it changes only what differs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"
# shellcheck source-path=SCRIPTDIR source=tokens.sh
. "$here/tokens.sh"
# shellcheck source-path=SCRIPTDIR source=identity.sh
. "$here/identity.sh"
# shellcheck source-path=SCRIPTDIR source=account.sh
. "$here/account.sh"

usage() {
    cat <<'USAGE'
usage: setup-backup.sh [options]

  --context NAME          kubectl context (default: the current one)
  --overlay NAME          primary, dr or local (default: dr if the context's name has `dr` in it, else primary)
  --storage-account NAME  storage account (default: the cluster's, else that of
                          AZURE_STORAGE_CONNECTION_STRING, else primaryst01, or drst01 for dr)
  --container NAME        container (default: the cluster's, else postgresql-backups)
  --password-from S/KEY   copy PostgreSQL's password from the secret S (default: ask if there is none yet)
  --days N                validity of a new token, in days (default: 365)
  --scoped-tokens         make one token each for uploading, pruning and reading, beside the one for all
                          (default: if the overlay has the component scoped-tokens, or the secret has them)
  --pitr                  make a token for archiving WAL too, and say what remains to be done
                          (default: if the overlay has the component pitr, which it needs)
  --rotate-sas            only make a new token, put it into the secret, and revoke the old ones
  --identity              no token: managed identities that the jobs have (default: if the overlay has the component
                          workload-identity, which it needs; with scoped-identities, one for each job)
  --identity-name NAME    how the identity is called, or begins (default: postgresql-backup)
  --resource-group NAME   where the identity is (default: the storage account's group)
  --built-in-roles        give the identities Azure's own roles: what uploads may then delete too
  --user-delegation-sas   only print a token for reading, valid for --days (at most 7), signed by your own login
  --soft-delete N         keep deleted and overwritten backups for N days more (default: ask)
  --versioning            keep overwritten backups as versions (default: ask)
  --run                   start a backup of each kind at the end, and follow it (default: ask)
  --no-run                start no backup
  --yes                   ask nothing
  --dry-run               show what would be done; touch neither the cluster nor Azure
  -h, --help

Azure is reached through `az login`, or AZURE_STORAGE_CONNECTION_STRING (the emulator).
Exit codes: 0 done, 1 failed, 2 wrong usage, 4 not confirmed; with backups at the end, the higher one of theirs.
USAGE
}

overlay="" account="" container="" password_from="" days="" scoped="" pitr="" rotate="" run_now=ask
identity="" identity_name=postgresql-backup group="" built_in="" delegation="" soft_delete=ask versioning=ask
while [ $# -gt 0 ]; do
    case $1 in
    --context) need_value "$1" "$@" && context=$2 && shift ;;
    --overlay) need_value "$1" "$@" && overlay=$2 && shift ;;
    --storage-account) need_value "$1" "$@" && account=$2 && shift ;;
    --container) need_value "$1" "$@" && container=$2 && shift ;;
    --password-from) need_value "$1" "$@" && password_from=$2 && shift ;;
    --days) need_value "$1" "$@" && days=$2 && shift ;;
    --scoped-tokens) scoped=yes ;;
    --pitr) pitr=yes ;;
    --rotate-sas) rotate=yes ;;
    --identity) identity=yes ;;
    --identity-name) need_value "$1" "$@" && identity_name=$2 && shift ;;
    --resource-group) need_value "$1" "$@" && group=$2 && shift ;;
    --built-in-roles) built_in=yes ;;
    --user-delegation-sas) delegation=yes offline=yes ;;
    --soft-delete) need_value "$1" "$@" && soft_delete=$2 && shift ;;
    --versioning) versioning=yes ;;
    --run) run_now=yes ;;
    --no-run) run_now="" ;;
    --yes) assume_yes=yes ;;
    --dry-run) dry_run=yes offline=yes ;;
    -h | --help) usage && exit 0 ;;
    *) fail 2 "unknown option '$1'" "setup-backup.sh --help lists them" ;;
    esac
    shift
done
need_days --days "${days:-365}"
[ "$soft_delete" = ask ] || need_days --soft-delete "$soft_delete"
case $identity_name in
*[!A-Za-z0-9_-]*) fail 2 "'$identity_name' is no name of an identity" ;;
esac
if [ -n "$identity" ] && [ -n "$rotate$scoped" ]; then
    fail 2 "--identity has no tokens to rotate or to scope" "the component scoped-identities gives each job its own identity"
fi
if [ -n "$delegation" ]; then
    days=${days:-7}
    [ "$days" -le 7 ] || fail 2 "a user delegation SAS is valid for 7 days at most, not $days"
fi
days=${days:-365}
case $password_from in
"" | ?*/?*) ;;
*) fail 2 "--password-from needs SECRET/KEY, not '$password_from'" ;;
esac

azure_secret=postgresql-backup-azure-secret
login_secret=postgresql-backup-login

# The time N days from now, as tokens write it: with GNU's date, or that of macOS.
expiry() {
    local days=$1
    case $days in -*) ;; *) days=+$days ;; esac
    date -u -d "$days days" '+%Y-%m-%dT%H:%MZ' 2>/dev/null || date -u -v "${days}d" '+%Y-%m-%dT%H:%MZ'
}

# az on the storage account, with its key, which az looks up, or through the connection string.
storage() {
    if [ -n "${AZURE_STORAGE_CONNECTION_STRING:-}" ]; then
        az storage "$@" --only-show-errors
    else
        az storage "$@" --account-name "$account" --only-show-errors
    fi
}

# A part of the connection string: connection AccountName
connection() { printf '%s' "${AZURE_STORAGE_CONNECTION_STRING:-}" | tr ';' '\n' | sed -n "s/^$1=//p"; }

# The account and the container: as given, else the cluster's, else the strategy's.
choose_store() {
    if [ -z "$offline" ]; then
        account=${account:-$(secret_value "$azure_secret" storage-account)}
        container=${container:-$(secret_value "$azure_secret" container-name)}
    fi
    local usual=primaryst01 connected
    connected=$(connection AccountName)
    account=${account:-$connected}
    # One left in the shell from another day must not send the backups elsewhere.
    [ -z "$connected" ] || [ "$connected" = "$account" ] ||
        fail 2 "AZURE_STORAGE_CONNECTION_STRING is for the account '$connected', not '$account'" \
            "unset AZURE_STORAGE_CONNECTION_STRING, or --storage-account $connected"
    case $overlay in
    dr) usual=drst01 ;;
    local) usual=devstoreaccount1 ;;
    esac
    account=${account:-$usual}
    container=${container:-postgresql-backups}
}

# Prints how the names of what this cluster has in Azure begin: another cluster may use the container too.
own_names() {
    local cluster=THIS-CLUSTER
    if [ -z "$offline" ]; then
        cluster=$(kube get namespace "$namespace" --output 'jsonpath={.metadata.uid}')
    fi
    printf 'postgresql-backup-%.13s-' "$cluster"
}

# Puts the password into the backups' own secret.
provide_login() {
    if [ -n "$dry_run" ] || [ "$overlay" = local ]; then
        return 0
    fi
    if [ -z "$password_from" ] && kube get secret "$login_secret" --output name >/dev/null 2>&1; then
        return 0
    fi
    local password
    if [ -n "$password_from" ]; then
        password=$(secret_value "${password_from%%/*}" "${password_from#*/}") || password=""
        [ -n "$password" ] || fail 1 "the secret '${password_from%%/*}' has no key '${password_from#*/}' in namespace '$namespace'" \
            "kubectl get secrets -n $namespace"
    else
        [ -t 0 ] || fail 1 "there is no secret '$login_secret' with the password of PostgreSQL" \
            "--password-from SECRET/KEY copies it from PostgreSQL's own secret"
        printf 'password of PostgreSQL: ' >&2
        read -rs password || password=""
        say ""
        [ -n "$password" ] || fail 1 "no password was typed"
    fi
    printf '%s' "$password" >"$scratch/password"
    kube create secret generic "$login_secret" --from-file=password="$scratch/password" \
        --dry-run=client --output yaml | kube apply --filename -
}

make_container() {
    say "3. container '$container' in storage account '$account'"
    if [ -n "$identity" ]; then
        # By the account's own API, which needs neither a key nor a role for its data.
        change azure storage container-rm create --name "$container" --storage-account "$account" --output none
    else
        change storage container create --name "$container" --output none
    fi
}

apply() { # apply [SELECTOR]
    change kube apply --kustomize "$here/overlays/$overlay" ${1:+--selector "$1"}
}

show_plan() {
    say "context:   $context"
    say "namespace: $namespace"
    say "overlay:   $here/overlays/$overlay"
    say "image:     $(sed -n 's/^ *image: \(.*postgresql-backup:.*\)/\1/p' "$scratch/overlay" | sort -u)"
    say "Azure:     container '$container' in storage account '$account'${scoped:+, one token for each purpose}${pitr:+, WAL too}"
    [ -z "$identity" ] || say "identity:  $identity_name, for $(purposes), in the resource group '$group'"
}

# Says yes if a line of the overlay's objects has this in it.
in_overlay() { # PATTERN
    if grep -q "$1" "$scratch/overlay"; then
        echo yes
    fi
}

# An identity, if the overlay's jobs have one.
choose_identity() {
    local has
    has=$(in_overlay 'azure.workload.identity/use')
    if [ -n "$identity" ] && [ -z "$has" ]; then
        fail 2 "the jobs of the overlay '$overlay' have no identity" \
            "add the component workload-identity to $here/overlays/$overlay/kustomization.yaml"
    fi
    if [ -n "$has" ] && [ -n "$rotate$scoped" ]; then
        fail 2 "the jobs of the overlay '$overlay' have an identity: there is no token to rotate or to scope"
    fi
    identity=$has
    if [ -n "$identity" ] && [ -n "${AZURE_STORAGE_CONNECTION_STRING:-}" ]; then
        fail 2 "an identity needs az login, not AZURE_STORAGE_CONNECTION_STRING" "unset AZURE_STORAGE_CONNECTION_STRING"
    fi
}

# WAL is archived if the overlay has the jobs that look after it.
choose_pitr() {
    local has
    has=$(in_overlay 'name: postgresql-backup-wal$')
    if [ -n "$pitr" ] && [ -z "$has" ]; then
        fail 2 "the overlay '$overlay' has no jobs for base backups and WAL" \
            "add the component pitr to $here/overlays/$overlay/kustomization.yaml, before those of tokens and identities"
    fi
    pitr=$has
}

# What the script leaves to a person: it restarts PostgreSQL.
say_what_remains() {
    local image role
    [ -n "$pitr" ] && [ "$overlay" != local ] || return 0
    image=$(sed -n 's/^ *image: \(.*postgresql-backup:.*\)/\1/p' "$scratch/overlay" | sort -u)
    role=$(sed -n 's/^ *PGUSER: //p' "$scratch/overlay" | head -n 1)
    say ""
    say "what remains, since it restarts PostgreSQL: docs/kubernetes.md, \"Every minute in the store\""
    say "a. the pod of PostgreSQL: its StatefulSet and container may have other names than in the patch"
    say "   sed 's|image: postgresql-backup|image: $image|' $here/components/pitr/postgresql.yaml |"
    say "     kubectl --context $context -n $namespace patch statefulset postgresql-primary --patch-file /dev/stdin"
    [ -z "$identity" ] || say "   there is no token with an identity: give the pod one that may write, as docs/kubernetes.md says"
    say "b. in its pg_hba.conf, for base backups: host replication ${role:-postgres} all scram-sha-256"
    say "c. the first base backup: kubectl --context $context -n $namespace create job first-base --from=cronjob/postgresql-backup-base"
    say "d. for the monthly recovery test, the cluster's major version and the room that it takes: in the overlay"
}

# Makes a backup of each kind, if that is wanted. Ends with the higher exit code.
offer_backups() {
    local cronjob answer
    if [ "$run_now" = ask ]; then
        if [ -n "$assume_yes" ] || [ -n "$dry_run" ] || [ ! -t 0 ]; then
            return 0
        fi
        printf 'start a backup now, local and to Azure, and follow it? [y/N] ' >&2
        read -r answer || answer=""
        case $answer in y* | Y*) ;; *) return 0 ;; esac
    fi
    if [ -n "$dry_run" ]; then
        for cronjob in postgresql-backup postgresql-backup-to-azure; do
            change kube create job "$(job_name "manual-${cronjob#postgresql-}")" --from="cronjob/$cronjob"
        done
    else
        run_backups postgresql-backup postgresql-backup-to-azure
    fi
}

set_up() {
    confirm "set this up?"
    provide_login
    say "1. the volume for local backups (50 GB)"
    say "2. the CronJob of the local backups"
    apply 'backup-uses-azure!=yes'
    make_container
    if [ -n "$identity" ]; then
        make_identities
    elif ! token_stays; then
        make_tokens
    fi
    protect_account
    say "5. the CronJobs that use Azure"
    apply
    if [ -z "$dry_run" ]; then
        kube get cronjobs,persistentvolumeclaims,networkpolicies --selector app.kubernetes.io/part-of=postgresql-backup
    fi
}

scratch=$(umask 077 && mktemp -d)
# The process group that `within` runs, which Ctrl-C does not reach.
running=""
trap '[ -z "$running" ] || kill -- "-$running" 2>/dev/null || true; rm -rf "$scratch"' EXIT
if [ -n "$delegation" ]; then
    choose_store
    find_azure
    user_delegation_sas
    exit
fi
find_cluster
if [ -z "$overlay" ]; then
    case $context in
    dr | dr-* | *-dr | *-dr-*) overlay=dr ;;
    *) overlay=primary ;;
    esac
fi
[ -e "$here/overlays/$overlay/kustomization.yaml" ] ||
    fail 2 "there is no overlay '$overlay'" "the overlays are the directories of $here/overlays"
[ "$overlay" = local ] || find_namespace
kubectl kustomize "$here/overlays/$overlay" >"$scratch/overlay" ||
    fail 1 "the overlay '$overlay' cannot be rendered" "kubectl kustomize $here/overlays/$overlay"
choose_store
choose_identity
choose_pitr
choose_tokens
find_azure
show_plan
if [ -n "$rotate" ]; then
    rotate_sas
    exit
fi
set_up
say_what_remains
if [ -n "$run_now" ]; then
    offer_backups
fi

#!/usr/bin/env bash
# Sets up the backups of one cluster's PostgreSQL: the volume and the local backups, the container in Azure, its token,
# and the backups to it. Run again, it changes only what differs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$here/common.sh"

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
  --rotate-sas            only make a new token, put it into the secret, and revoke the old ones
  --run                   start a backup of each kind at the end, and follow it (default: ask)
  --no-run                start no backup
  --yes                   ask nothing
  --dry-run               show what would be done; touch neither the cluster nor Azure
  -h, --help

Azure is reached through `az login`, or AZURE_STORAGE_CONNECTION_STRING (the emulator).
Exit codes: 0 done, 1 failed, 2 wrong usage, 4 not confirmed; with backups at the end, the higher one of theirs.
USAGE
}

overlay="" account="" container="" password_from="" days=365 scoped="" rotate="" run_now=ask
while [ $# -gt 0 ]; do
    case $1 in
    --context) need_value "$1" "$@" && context=$2 && shift ;;
    --overlay) need_value "$1" "$@" && overlay=$2 && shift ;;
    --storage-account) need_value "$1" "$@" && account=$2 && shift ;;
    --container) need_value "$1" "$@" && container=$2 && shift ;;
    --password-from) need_value "$1" "$@" && password_from=$2 && shift ;;
    --days) need_value "$1" "$@" && days=$2 && shift ;;
    --scoped-tokens) scoped=yes ;;
    --rotate-sas) rotate=yes ;;
    --run) run_now=yes ;;
    --no-run) run_now="" ;;
    --yes) assume_yes=yes ;;
    --dry-run) dry_run=yes offline=yes ;;
    -h | --help) usage && exit 0 ;;
    *) fail 2 "unknown option '$1'" "setup-backup.sh --help lists them" ;;
    esac
    shift
done
case $days in
"" | *[!0-9]* | 0) fail 2 "--days needs a number of days, not '$days'" ;;
esac
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

find_azure() {
    need_command az "https://learn.microsoft.com/cli/azure/install-azure-cli"
    if [ -n "$dry_run" ] || [ -n "${AZURE_STORAGE_CONNECTION_STRING:-}" ]; then
        return 0
    fi
    az account show --output none || fail 1 "azure-cli is not logged in" "az login"
    az storage account show --name "$account" --output none ||
        fail 1 "there is no storage account '$account' in this subscription" \
            "az account set --subscription NAME, or --storage-account"
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

# Makes a token of the stored access policy: make_token FILE PERMISSIONS
# The token itself says what it allows and until when, so that the programs can warn in time. The policy, with only a
# start, is what revokes it.
make_token() {
    storage container generate-sas --name "$container" --permissions "$2" --expiry "$expires" --output tsv \
        "${kind_of_token[@]}" >"$scratch/$1"
    [ -s "$scratch/$1" ] || fail 1 "azure-cli made no token for container '$container'"
}

# Lists the container with the new token; the file `refused` has what az says.
use_token() {
    local endpoint=(--account-name "$account")
    if [ -n "${AZURE_STORAGE_CONNECTION_STRING:-}" ]; then
        endpoint=(--blob-endpoint "$(connection BlobEndpoint)")
    fi
    AZURE_STORAGE_CONNECTION_STRING="" AZURE_STORAGE_SAS_TOKEN=$(cat "$scratch/sas-token") \
        az storage blob list --container-name "$container" --num-results 1 --output none --only-show-errors \
        "${endpoint[@]}" </dev/null >"$scratch/refused" 2>&1
}

# Runs a command for at most SECONDS, then ends it and what it started: within SECONDS COMMAND...
# az retries by itself for a minute and a half, silently; macOS has no `timeout`.
within() {
    local end=$((SECONDS + $1)) code=0
    shift
    # A process group of its own: az is a shell script that starts python.
    set -m
    "$@" &
    running=$!
    set +m
    while kill -0 "$running" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do
        sleep 0.2
    done
    kill -- "-$running" 2>/dev/null || true
    wait "$running" 2>/dev/null || code=$?
    running=""
    return "$code"
}

# A new policy takes up to half a minute to take effect everywhere. The service's answer is shown when it changes.
check_token() {
    local patience=${TOKEN_SECONDS:-60} try said told=""
    local end=$((SECONDS + patience))
    while :; do
        try=$((end - SECONDS))
        [ "$try" -le 20 ] || try=20
        if within "$try" use_token; then
            return 0
        fi
        said=$(sed 's/sig=[^& ]*/sig=…/g; /^ *$/d' "$scratch/refused" | head -n 5)
        said=${said:-az had no answer from the service within $try s}
        if [ "$said" != "$told" ]; then
            say "the new token is refused: $said"
            [ -n "$told" ] || say "a new access policy may take half a minute to hold: it is tried for $patience s"
            told=$said
        fi
        [ "$((SECONDS + 2))" -lt "$end" ] ||
            fail 1 "the new token was refused for $patience s; the secret was not changed" \
                "the storage account's network rules, or its clock"
        sleep 2
    done
}

# Prints how the names of this cluster's access policies begin: another cluster may use the container too.
own_policies() {
    local cluster=THIS-CLUSTER
    if [ -z "$offline" ]; then
        cluster=$(kube get namespace "$namespace" --output 'jsonpath={.metadata.uid}')
    fi
    printf 'postgresql-backup-%.13s-' "$cluster"
}

# Replaces the tokens: makes a new policy and its tokens, tries them, puts them into the secret, revokes the old ones.
make_tokens() {
    local own policy
    own=$(own_policies)
    policy=$own$(date -u +%Y%m%d-%H%M%S)
    expires=$(expiry "$days")
    kind_of_token=(--policy-name "$policy" --https-only)
    case ${AZURE_STORAGE_CONNECTION_STRING:-} in
    # The emulator speaks http, and wants everything or nothing in a policy.
    *BlobEndpoint=http:*) kind_of_token=(--start "$(expiry -1)") ;;
    esac
    say "4. a token for container '$container', valid until $expires, by the access policy '$policy'"
    change storage container policy create --container-name "$container" --name "$policy" \
        --start "$(expiry -1)" --output none ||
        fail 1 "cannot make the access policy '$policy'" \
            "a container holds at most five: az storage container policy list, and delete those that nobody needs"
    if [ -n "$dry_run" ]; then
        say "would run: az storage container generate-sas --name $container --policy-name $policy --permissions rcwdl --expiry $expires --https-only"
        say "would put the token into the secret $azure_secret"
        return
    fi
    make_token sas-token rcwdl
    if [ -n "$scoped" ]; then
        make_token sas-token-put rcw
        make_token sas-token-prune rdl
        make_token sas-token-read rl
    fi
    check_token
    printf '%s' "$account" >"$scratch/storage-account"
    printf '%s' "$container" >"$scratch/container-name"
    local files=() key
    for key in storage-account container-name sas-token sas-token-put sas-token-prune sas-token-read; do
        [ ! -e "$scratch/$key" ] || files+=(--from-file="$key=$scratch/$key")
    done
    kube create secret generic "$azure_secret" "${files[@]}" --dry-run=client --output yaml | kube apply --filename -
    revoke_old "$own" "$policy"
}

# Whether the cluster's token can stay: it is for this store, and valid for 30 more days.
token_stays() {
    [ -z "$dry_run" ] && [ -z "$rotate" ] || return 1
    local token until
    [ "$(secret_value "$azure_secret" storage-account)" = "$account" ] || return 1
    [ "$(secret_value "$azure_secret" container-name)" = "$container" ] || return 1
    [ -z "$scoped" ] || [ -n "$(secret_value "$azure_secret" sas-token-put)" ] || return 1
    token=$(secret_value "$azure_secret" sas-token) || return 1
    until=$(printf '%s' "$token" | sed 's/[?&]/\
/g' | sed -n 's/^se=//p' | sed 's/%3A/:/g')
    # Both are in UTC and begin with YYYY-MM-DDTHH:MM: they compare as text.
    [[ $until > $(expiry 30) ]] || return 1
    say "4. the token is valid until $until and stays (--rotate-sas replaces it)"
}

# Revokes this cluster's older tokens by deleting their policies, unless a job is running: revoke_old OWN NEW
revoke_old() {
    local active old all
    active=$(kube get jobs --selector backup-uses-azure=yes --output 'jsonpath={range .items[?(@.status.active>0)]}{.metadata.name}{" "}{end}')
    if [ -n "$active" ]; then
        say "the old tokens stay valid: a job is running with one ($active)"
        say "hint: run --rotate-sas again when it has ended"
        return 0
    fi
    all=$(storage container policy list --container-name "$container" --query 'keys(@)' --output tsv)
    for old in $all; do
        case $old in
        "$2") ;;
        "$1"*)
            storage container policy delete --container-name "$container" --name "$old" --output none
            say "revoked the tokens of the access policy '$old'"
            ;;
        esac
    done
}

make_container() {
    say "3. container '$container' in storage account '$account'"
    change storage container create --name "$container" --output none
}

apply() { # apply [SELECTOR]
    change kube apply --kustomize "$here/overlays/$overlay" ${1:+--selector "$1"}
}

show_plan() {
    say "context:   $context"
    say "namespace: $namespace"
    say "overlay:   $here/overlays/$overlay"
    say "image:     $(sed -n 's/^ *image: \(.*postgresql-backup:.*\)/\1/p' "$scratch/overlay" | sort -u)"
    say "Azure:     container '$container' in storage account '$account'${scoped:+, one token for each purpose}"
}

# The secret has to have the tokens that a job's volume names, also after they are replaced.
choose_tokens() {
    if grep -q 'key: sas-token-put' "$scratch/overlay"; then
        scoped=yes
    elif [ -z "$scoped" ] && [ -z "$offline" ] && [ -n "$(secret_value "$azure_secret" sas-token-put)" ]; then
        scoped=yes
    fi
}

rotate_sas() {
    confirm "replace the token of container '$container' in '$account' on context '$context'?"
    make_tokens
    say "done: jobs that run pick the new token up within two minutes"
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
    if ! token_stays; then
        make_tokens
    fi
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
choose_tokens
find_azure
show_plan
if [ -n "$rotate" ]; then
    rotate_sas
    exit
fi
set_up
if [ -n "$run_now" ]; then
    offer_backups
fi

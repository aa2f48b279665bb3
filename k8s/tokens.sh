#!/usr/bin/env bash
# The tokens of the container: made, tried, put into the secret, revoked. Sourced by setup-backup.sh; runs on the bash
# 3.2 of macOS too.
# shellcheck disable=SC2154,SC2034 # setup-backup.sh has the variables

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

# Replaces the tokens: makes a new policy and its tokens, tries them, puts them into the secret, revokes the old ones.
make_tokens() {
    local own policy
    own=$(own_names)
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
        [ -z "$pitr" ] || say "would run the same with --permissions rcw, for archiving WAL"
        say "would put the token into the secret $azure_secret"
        return
    fi
    make_token sas-token rcwdl
    if [ -n "$scoped" ]; then
        make_token sas-token-put rcw
        make_token sas-token-prune rdl
        make_token sas-token-read rl
    fi
    # To create, and to compare what is there: what breaks into PostgreSQL's pod can neither list nor delete.
    [ -z "$pitr" ] || make_token sas-token-wal rcw
    check_token
    printf '%s' "$account" >"$scratch/storage-account"
    printf '%s' "$container" >"$scratch/container-name"
    local files=() key
    for key in storage-account container-name sas-token sas-token-put sas-token-prune sas-token-read sas-token-wal; do
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
    [ -z "$pitr" ] || [ -n "$(secret_value "$azure_secret" sas-token-wal)" ] || return 1
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

#!/usr/bin/env bash
# The storage account as setup-backup.sh finds it: what it allows, and what it protects. Sourced by it; runs on the bash
# 3.2 of macOS too.
# shellcheck disable=SC2154,SC2034 # setup-backup.sh has the variables

find_azure() {
    need_command az "https://learn.microsoft.com/cli/azure/install-azure-cli"
    if [ -n "$dry_run" ] || [ -n "${AZURE_STORAGE_CONNECTION_STRING:-}" ]; then
        group=${group:-GROUP}
        scope=/subscriptions/ID/resourceGroups/$group/providers/Microsoft.Storage/storageAccounts/$account/blobServices/default/containers/$container
        return 0
    fi
    az account show --output none || fail 1 "azure-cli is not logged in" "az login"
    # One value a line; none is `None`.
    azure storage account show --name "$account" --output tsv --query \
        '[id, resourceGroup, sku.name, allowSharedKeyAccess, sasPolicy.sasExpirationPeriod, sasPolicy.expirationAction]' \
        >"$scratch/account" ||
        fail 1 "there is no storage account '$account' in this subscription" \
            "az account set --subscription NAME, or --storage-account"
    scope=$(account_value 1)/blobServices/default/containers/$container
    group=${group:-$(account_value 2)}
    if [ -z "$delegation" ]; then
        check_redundancy
        [ -n "$identity" ] || check_keys
    fi
}

# Prints what az said of the account, or nothing: account_value LINE
account_value() { sed -n "$1p" "$scratch/account" | grep -v '^None$' || true; }

check_redundancy() {
    local sku
    sku=$(account_value 3)
    case $sku in
    *_LRS)
        say "warning: the account '$account' is locally redundant only ($sku): with its datacenter the backups are lost"
        say "hint: az storage account update --name $account --sku Standard_GRS (another region), or Standard_ZRS (another zone)"
        ;;
    esac
}

# Whether the account takes tokens that its key signs, and for how long.
check_keys() {
    local period longest
    if [ "$(account_value 4)" = false ]; then
        fail 1 "the storage account '$account' takes no token that is signed with its key (allowSharedKeyAccess is false)" \
            "--identity, with the component workload-identity in the overlay; --user-delegation-sas makes a token for a few days"
    fi
    # DAYS.HH:MM:SS
    period=$(account_value 5)
    [ -n "$period" ] || return 0
    longest=${period%%.*}
    case $longest in *[!0-9]* | "") return 0 ;; esac
    [ "$days" -gt "$longest" ] || return 0
    case $(account_value 6) in
    Block)
        fail 1 "the account '$account' takes tokens for $longest days at most, not for $days (its SAS expiration policy)" \
            "--days $longest, and a new token before that ends (--rotate-sas); or --identity, which needs none"
        ;;
    *) say "warning: the account's SAS expiration policy asks for tokens of $longest days at most, not of $days: --days $longest, or --identity" ;;
    esac
}

# Prints a token for reading, for whoever is logged in: user_delegation_sas
user_delegation_sas() {
    local until
    until=$(expiry "$days")
    say "a token for reading the container '$container' in '$account', valid until $until; it is as good as a password"
    # It may live as long as the key that Entra gives, and no longer: seven days.
    az storage container generate-sas --account-name "$account" --name "$container" --permissions rl --https-only \
        --expiry "$until" --auth-mode login --as-user --output tsv --only-show-errors ||
        fail 1 "Azure gives no key for a user delegation SAS" \
            "it takes the role 'Storage Blob Data Reader' on the container and 'Storage Blob Delegator' on the account"
}

# Asks about what is neither on nor an option; without a terminal the answer is no: wanted QUESTION
wanted() {
    [ -z "$assume_yes$dry_run" ] && [ -t 0 ] || return 1
    local answer
    printf '%s [y/N] ' "$1" >&2
    read -r answer || answer=""
    case $answer in y* | Y*) return 0 ;; *) return 1 ;; esac
}

# What keeps backups that somebody deletes or overwrites, whatever right he has to.
protect_account() {
    [ -z "${AZURE_STORAGE_CONNECTION_STRING:-}" ] || return 0
    local kept="" versions=""
    if [ "$soft_delete$versioning" = askask ]; then
        # Without a terminal there is nobody to ask, and nothing to look for.
        [ -z "$assume_yes$dry_run" ] && [ -t 0 ] || return 0
    fi
    if [ -z "$dry_run" ]; then
        azure storage account blob-service-properties show --account-name "$account" --output tsv \
            --query '[deleteRetentionPolicy.enabled, isVersioningEnabled]' >"$scratch/service"
        [ "$(sed -n 1p "$scratch/service")" != true ] || kept=yes
        [ "$(sed -n 2p "$scratch/service")" != true ] || versions=yes
    fi
    if [ "$soft_delete" = ask ] && [ -z "$kept" ] &&
        wanted "keep deleted and overwritten blobs for 14 days (soft delete)? they are billed as before; after a breach they come back"; then
        soft_delete=14
    fi
    if [ "$soft_delete" != ask ]; then
        say "   soft delete: deleted and overwritten blobs, and a deleted container, are kept for $soft_delete days"
        change azure storage account blob-service-properties update --account-name "$account" --output none \
            --enable-delete-retention true --delete-retention-days "$soft_delete" \
            --enable-container-delete-retention true --container-delete-retention-days "$soft_delete"
    fi
    if [ "$versioning" = ask ] && [ -z "$versions" ] &&
        wanted "keep overwritten and deleted blobs as versions (versioning)? they are billed until a lifecycle rule deletes them"; then
        versioning=yes
    fi
    if [ "$versioning" = yes ] && [ -z "$versions" ]; then
        say "   versioning: a version of each deleted or overwritten blob stays until a lifecycle rule deletes it"
        change azure storage account blob-service-properties update --account-name "$account" --output none \
            --enable-versioning true
    fi
}

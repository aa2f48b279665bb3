#!/usr/bin/env bash
# What setup-backup.sh --identity does: managed identities of Azure in the place of tokens. Sourced by it; runs on the
# bash 3.2 of macOS too.
# shellcheck disable=SC2154 # setup-backup.sh sets the variables

put_role="PostgreSQL backup put"
prune_role="PostgreSQL backup prune"
read_role="Storage Blob Data Reader"
store_map=postgresql-backup-store

# az through `az login`. If the caller lacks a right, it says which one.
azure() {
    local code=0 lacked
    az "$@" --only-show-errors 2>"$scratch/az-said" || code=$?
    [ "$code" != 0 ] || return 0
    lacked=$(sed -n "s/.*(AuthorizationFailed).* action '\([^']*\)' over scope '\([^']*\)'.*/'\1' at '\2'/p" "$scratch/az-said" |
        head -n 1)
    if [ -n "$lacked" ]; then
        fail 1 "you lack the right $lacked" "$(right_hint "$lacked")"
    fi
    cat "$scratch/az-said" >&2
    return "$code"
}

# Which role has a right: right_hint RIGHT
right_hint() {
    case $1 in
    *Microsoft.Authorization/*)
        printf '%s' "the roles 'Owner' and 'User Access Administrator' have it; --built-in-roles makes no roles of its own"
        ;;
    *Microsoft.ManagedIdentity/*) printf '%s' "the role 'Managed Identity Contributor' has it" ;;
    *) printf '%s' "the role 'Storage Account Contributor' has it" ;;
    esac
}

# Prints what the jobs are for, one identity for each: put, prune and read where the overlay has the component
# scoped-identities, else all.
purposes() {
    if grep -q 'serviceAccountName: postgresql-backup-put' "$scratch/overlay"; then
        printf 'put prune read'
    else
        printf 'all'
    fi
}

# Prints the name of a purpose's service account, and the end of its identity's name: of_purpose NAME PURPOSE
of_purpose() {
    case $2 in
    all) printf '%s' "$1" ;;
    *) printf '%s-%s' "$1" "$2" ;;
    esac
}

# Prints the roles of a purpose, one a line.
roles_of() {
    local put=$put_role prune=$prune_role
    if [ -n "$built_in" ]; then
        put="Storage Blob Data Contributor" prune=$put
    fi
    case $1 in
    put) printf '%s\n' "$put" ;;
    prune) printf '%s\n' "$prune" ;;
    read) printf '%s\n' "$read_role" ;;
    all) printf '%s\n' "$put" "$prune" | sort -u ;;
    esac
}

# Prints the cluster's issuer of service account tokens, which Entra has to be able to read.
cluster_issuer() {
    local issuer
    if [ -n "$offline" ]; then
        printf 'https://ISSUER-OF-THE-CLUSTER/'
        return
    fi
    issuer=$(kubectl --context "$context" get --raw /.well-known/openid-configuration |
        tr ',' '\n' | sed -n 's/.*"issuer" *: *"\([^"]*\)".*/\1/p')
    case $issuer in
    "" | *kubernetes.default* | *.azmk8s.io*)
        fail 1 "the cluster of context '$context' issues no tokens that Entra can check: its issuer is '$issuer'" \
            "az aks update --resource-group GROUP --name CLUSTER --enable-oidc-issuer --enable-workload-identity"
        ;;
    https://*) printf '%s' "$issuer" ;;
    *) fail 1 "the cluster's issuer is no https URL: '$issuer'" ;;
    esac
}

# What the token of a service account is for, in this cloud.
token_audience() {
    local cloud=""
    [ -n "$dry_run" ] || cloud=$(az cloud show --query name --output tsv 2>/dev/null) || cloud=""
    case $cloud in
    AzureChinaCloud) printf 'api://AzureADTokenExchangeChina' ;;
    AzureUSGovernment) printf 'api://AzureADTokenExchangeUSGov' ;;
    *) printf 'api://AzureADTokenExchange' ;;
    esac
}

# Makes or finds a managed identity; sets client and principal: find_identity NAME
find_identity() {
    local found
    client=CLIENT-ID principal=PRINCIPAL-ID
    if [ -n "$dry_run" ]; then
        change azure identity create --name "$1" --resource-group "$group"
        return
    fi
    # A listing, as `show` cannot tell a missing identity from a missing right.
    found=$(azure identity list --resource-group "$group" --query "[?name=='$1'].name" --output tsv)
    if [ -z "$found" ]; then
        azure identity create --name "$1" --resource-group "$group" --output none
        say "   made the managed identity '$1' in the resource group '$group'"
    fi
    client=$(azure identity show --name "$1" --resource-group "$group" --query clientId --output tsv)
    principal=$(azure identity show --name "$1" --resource-group "$group" --query principalId --output tsv)
    [ -n "$client$principal" ] || fail 1 "az does not say which client ID the identity '$1' has"
}

# Lets a service account of this cluster be that identity: trust NAME SERVICE-ACCOUNT
trust() {
    local subject="system:serviceaccount:$namespace:$2" credential found=""
    credential=$(own_names)$2
    if [ -z "$dry_run" ]; then
        found=$(azure identity federated-credential list --identity-name "$1" --resource-group "$group" \
            --query "[?issuer=='$issuer' && subject=='$subject' && contains(audiences, '$audience')].name" --output tsv)
    fi
    [ -z "$found" ] || return 0
    # One of this name that is for another issuer is replaced: the cluster was made anew.
    change azure identity federated-credential create --name "$credential" --identity-name "$1" \
        --resource-group "$group" --issuer "$issuer" --subject "$subject" --audiences "$audience" --output none
    say "   '$1' trusts the service account '$2' of this cluster"
}

# Makes a role of our own, if there is none: make_role NAME DATA-ACTION...
make_role() {
    local name=$1 action actions="" found="" blobs=Microsoft.Storage/storageAccounts/blobServices/containers/blobs
    shift
    if [ -z "$dry_run" ]; then
        found=$(azure role definition list --name "$name" --custom-role-only true --query '[].roleName' --output tsv)
    fi
    [ -z "$found" ] || return 0
    for action in "$@"; do
        actions="$actions${actions:+, }\"$blobs/$action\""
    done
    printf '{"Name": "%s", "Description": "%s", "Actions": [], "DataActions": [%s], "AssignableScopes": ["%s"]}\n' \
        "$name" "What the PostgreSQL backups need, and no more" "$actions" "$subscription" >"$scratch/role.json"
    if [ -n "$dry_run" ]; then
        say "would make the role '$name': $(cat "$scratch/role.json")"
    else
        azure role definition create --role-definition "@$scratch/role.json" --output none ||
            fail 1 "cannot make the role '$name'" \
                "if another subscription of this tenant has it, add this one to its assignable scopes; or --built-in-roles"
        say "   made the role '$name'"
    fi
}

# Gives an identity a role on the container: assign NAME PRINCIPAL ROLE
assign() {
    local found="" try=0
    if [ -z "$dry_run" ]; then
        found=$(azure role assignment list --assignee-object-id "$2" --role "$3" --scope "$scope" \
            --query '[].id' --output tsv)
    fi
    [ -z "$found" ] || return 0
    # Neither a new role nor a new identity is known everywhere at once.
    until change azure role assignment create --assignee-object-id "$2" --assignee-principal-type ServicePrincipal \
        --role "$3" --scope "$scope" --output none; do
        try=$((try + 1))
        [ "$try" -lt "${ASSIGN_TRIES:-6}" ] || fail 1 "cannot give '$1' the role '$3' on the container"
        sleep "${ASSIGN_PAUSE:-10}"
    done
    say "   '$1' has the role '$3' on the container '$container'"
    assigned=yes
}

# Makes the identities, and tells the cluster of them.
make_identities() {
    local purpose name account_name role issuer audience client principal assigned=""
    issuer=$(cluster_issuer)
    audience=$(token_audience)
    subscription=${scope%%/resourceGroups/*}
    say "4. identities of the resource group '$group' for container '$container'"
    if [ -z "$built_in" ]; then
        make_role "$put_role" read write
        make_role "$prune_role" read delete
    fi
    for purpose in $(purposes); do
        name=$(of_purpose "$identity_name" "$purpose")
        account_name=$(of_purpose postgresql-backup "$purpose")
        find_identity "$name"
        trust "$name" "$account_name"
        roles_of "$purpose" >"$scratch/roles"
        while IFS= read -r role <&3; do
            assign "$name" "$principal" "$role"
        done 3<"$scratch/roles"
        change kube annotate serviceaccount "$account_name" --overwrite "azure.workload.identity/client-id=$client"
    done
    if [ -n "$dry_run" ]; then
        say "would write the ConfigMap $store_map: $account, $container"
    else
        kube create configmap "$store_map" --from-literal=storage-account="$account" \
            --from-literal=container-name="$container" --dry-run=client --output yaml | kube apply --filename -
    fi
    [ -z "$assigned" ] || say "   a new role assignment takes effect within ten minutes: a backup before that may be refused (403)"
    if [ -z "$offline" ] && [ -n "$(kube get secret "$azure_secret" --ignore-not-found --output name)" ]; then
        say "hint: the secret $azure_secret is not used any more. When a backup was made with the identity:"
        say "      kubectl delete secret $azure_secret -n $namespace, and revoke its tokens (docs/runbook.md)"
    fi
}

#!/usr/bin/env bash
# Back to a moment, by a base backup and the WAL after it: the whole cluster into a new claim, or one database of it
# into the live server. For restore-backup.sh.
# shellcheck disable=SC2016 # $(STORE) is for Kubernetes to expand, the others for the Job's shell
# shellcheck disable=SC2154 # namespace, context, dry_run: common.sh; what is restored, and from where: restore-backup.sh

statefulset=postgresql-primary claim_size="" wait=12h
# The exit code of the Job that has waited long enough.
still_recovering=75
# More than its pod takes to start, and one question to the server.
beside_waiting=600
# What read_statefulset finds.
container="" image="" user="" group="" pgdata="" volume="" mount="" sub_path="" claim="" has_template="" archives=""

# Prints a field of the StatefulSet: statefulset_field JSONPATH
statefulset_field() { kube get statefulset "$statefulset" --output "jsonpath={$1}"; }

# Prints a field of PostgreSQL's container: container_field JSONPATH
container_field() { statefulset_field ".spec.template.spec.containers[?(@.name==\"$container\")]$1"; }

# Prints a field of the claim of its data, or nothing if there is no claim: claim_field JSONPATH
claim_field() { kube get persistentvolumeclaim "$claim" --ignore-not-found --output "jsonpath={$1}"; }

# Finds out which image and user PostgreSQL has, and on which claim its data are.
read_statefulset() {
    local names
    names=$(statefulset_field '.spec.template.spec.containers[*].name') ||
        fail 1 "cannot read the StatefulSet '$statefulset' in namespace '$namespace'" "--statefulset NAME names PostgreSQL's"
    container=$(printf '%s\n' "$names" | tr ' ' '\n' |
        awk 'NR == 1 { name = $0 } /^postgres/ && !found { found = name = $0 } END { print name }')
    image=$(container_field .image)
    pgdata=$(container_field '.env[?(@.name=="PGDATA")].value')
    case $(container_field .command)$(container_field .args) in
    *archive_mode=on* | *archive_mode=always*) archives=yes ;;
    esac
    find_user
    find_volume
}

# The user that PostgreSQL runs as. Where a pod does not say it, the official image starts as root, and gives the data
# to its own user.
find_user() {
    user=$(container_field .securityContext.runAsUser)
    user=${user:-$(statefulset_field .spec.template.spec.securityContext.runAsUser)}
    group=$(container_field .securityContext.runAsGroup)
    group=${group:-$(statefulset_field .spec.template.spec.securityContext.runAsGroup)}
    case $user in "" | 0) user=999 group=999 ;; esac
    case $group in "" | 0) group=$user ;; esac
}

# The volume that holds PGDATA, which is below /var/lib/postgresql where the pod does not say.
find_volume() {
    local mounts found data=${pgdata:-/var/lib/postgresql/data} tab=$'\t'
    mounts=$(kube get statefulset "$statefulset" --output "jsonpath={range .spec.template.spec.containers[?(@.name==\"$container\")].volumeMounts[*]}{.mountPath}{\"\\t\"}{.name}{\"\\t\"}{.subPath}{\"\\n\"}{end}")
    found=$(printf '%s\n' "$mounts" | awk -F '\t' -v data="$data" '
        { path = $1; sub("/$", "", path) }
        NF == 3 && index(data "/", path "/") == 1 && length(path) > length(best) { best = path; line = path "\t" $2 "\t" $3 }
        END { print line }')
    [ -n "$found" ] || fail 1 "no volume of the StatefulSet '$statefulset' holds its data directory '$data'"
    mount=${found%%"$tab"*} found=${found#*"$tab"}
    volume=${found%%"$tab"*} sub_path=${found#*"$tab"}
    # A claim template counts before a volume of the same name.
    claim=$(statefulset_field ".spec.volumeClaimTemplates[?(@.metadata.name==\"$volume\")].metadata.name")
    if [ -n "$claim" ]; then
        has_template=yes claim=$volume-$statefulset-0
    else
        claim=$(statefulset_field ".spec.template.spec.volumes[?(@.name==\"$volume\")].persistentVolumeClaim.claimName")
    fi
    [ -n "$claim" ] || fail 1 "the data of the StatefulSet '$statefulset' are not on a claim"
}

# Prints the spec of a claim that is like the old one.
claim_spec() {
    local size modes class
    size=${claim_size:-$(claim_field .spec.resources.requests.storage)}
    [ -n "$size" ] || fail 2 "there is no claim '$claim', and so no size for the new one" "--claim-size 100Gi says it"
    modes=$(claim_field .spec.accessModes)
    class=$(claim_field .spec.storageClassName)
    [ -z "$class" ] || class=', "storageClassName": '$(json "$class")
    printf '{"accessModes": %s%s, "resources": {"requests": {"storage": %s}}}' "${modes:-[\"ReadWriteOnce\"]}" "$class" "$(json "$size")"
}

# Prints the claim: new_claim NAME SPEC
new_claim() {
    printf '{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": %s, "namespace": %s}, "spec": %s}' \
        "$(json "$1")" "$(json "$namespace")" "$2"
}

# Prints where PostgreSQL's pod may run, for the Job that fills its disk, and what its image is pulled with.
placement() {
    local field value
    for field in nodeSelector tolerations imagePullSecrets; do
        value=$(statefulset_field ".spec.template.spec.$field")
        [ -z "$value" ] || printf '"%s": %s, ' "$field" "$value"
    done
    # In place of the CronJob's, which may ask for the node of a pod that is gone.
    value=$(statefulset_field .spec.template.spec.affinity.nodeAffinity)
    if [ -n "$value" ]; then
        printf '"affinity": {"podAffinity": null, "nodeAffinity": %s}, ' "$value"
    else
        printf '"affinity": null, '
    fi
}

# Prints a Job that runs a shell line in PostgreSQL's image, as its user, with our programs in /opt/backup and a volume
# of its own in /restored: recovery_job NAME FORMAT VOLUME MEMORY LINE ARGUMENT...
recovery_job() {
    local name=$1 format=$2 space=$3 memory=$4 line=$5 programs env="" words="" word
    shift 5
    programs=$(kube get cronjob postgresql-restore --output 'jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}')
    [ -z "$pgdata" ] || env='{"name": "PGDATA", "value": '$(json "$pgdata")'}'
    for word in "$@"; do
        words="$words, $(argument "$word")"
    done
    make_job json postgresql-restore "$name" | kubectl patch --local --filename - --output "$format" --type strategic --patch '
        {"spec": {"template": {"spec": {'"$(placement)"'
            "securityContext": {"runAsUser": '"$user"', "runAsGroup": '"$group"', "fsGroup": '"$group"'},
            "initContainers": [{
                "name": "backup-programs",
                "image": '"$(json "$programs")"',
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-euc", "cp /opt/backup/* /programs/"],
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                "volumeMounts": [{"name": "programs", "mountPath": "/programs"}]}],
            "containers": [{
                "name": "backup",
                "image": '"$(json "$image")"',
                "command": ["sh", "-euc", '"$(json "$line")"', "recovery"],
                "args": ['"${words#, }"'],
                "env": ['"$env"'],
                "resources": {"limits": {"memory": '"$(json "$memory")"'}},
                "volumeMounts": [
                    {"mountPath": "/backups", "$patch": "delete"},
                    {"mountPath": "/opt/backup", "name": "programs", "readOnly": true},
                    {"mountPath": "/restored", "name": "restored"}]}],
            "volumes": [
                {"name": "backups", "$patch": "delete"},
                {"name": "programs", "emptyDir": {"sizeLimit": "64Mi"}},
                {"name": "restored", '"$space"'}]}}}}'
}

# Writes such a Job into a file: nothing is stopped or made for one that cannot be made.
prepare_recovery() { # NAME ARGUMENT-OF-RECOVERY_JOB...
    local name=$1
    shift
    recovery_job "$name" json "$@" >"$scratch/recovery.json" || fail 1 "cannot make the Job '$name'"
}

# Starts what was prepared, and follows it: run_recovery NAME
run_recovery() {
    kube create --filename "$scratch/recovery.json" >/dev/null || fail 1 "cannot start the Job '$1'"
    say "job $1 in namespace $namespace"
    follow_job "$1"
}

# The line that fills the claim. The data directory is where PostgreSQL's pod will see it: $1 is where that mounts the
# volume, $2 which directory of it.
fill_line='mount=$1 directory=$2
shift 2
case $PGDATA/ in
"$mount"/*) ;;
*)
    echo "PGDATA is $PGDATA, and the volume is mounted at $mount" >&2
    exit 2
    ;;
esac
data=/restored${directory:+/$directory}${PGDATA#"$mount"}
mkdir -p "${data%/*}"
/opt/backup/restore-stream "$@" --data-dir "$data" --with-wal
major="$(cat "$data/PG_VERSION")"
case "$(postgres --version)" in
*" $major".* | *" $major"[a-z]*) ;;
*)
    echo "the cluster is of PostgreSQL $major, and this image has $(postgres --version)" >&2
    exit 4
    ;;
esac'

# The line that restores one database, by a server of its own in /restored.
database_line='export PGPASSWORD="$(cat /run/secrets/postgresql/password)"
exec /opt/backup/restore-stream "$@" --work-dir /restored'

# The line that waits until the server has recovered, for $1 seconds, and then ends with the code $2.
await_line='export PGPASSWORD="$(cat /run/secrets/postgresql/password)" PGCONNECT_TIMEOUT=20
said= began="$(date +%s)"
while :; do
    answer="$(psql -XAtd postgres -c "SELECT pg_is_in_recovery()" 2>&1)" || true
    [ "$answer" != f ] || break
    [ "$answer" != t ] || answer="the server replays WAL"
    [ "$answer" = "$said" ] || echo "$answer"
    said=$answer
    if [ "$(($(date +%s) - began))" -ge "$1" ]; then
        echo "after $1 s it is not done" >&2
        exit "$2"
    fi
    sleep 2
done
psql -XAtd postgres -c "SELECT coalesce('\''the last transaction that came back is of '\'' || pg_last_xact_replay_timestamp(), '\''no transaction was replayed'\'')"'

# Prints the seconds of a time such as 90m, or nothing if it is none: seconds TIME
seconds() {
    local unit
    case $1 in
    *s) unit=1 ;;
    *m) unit=60 ;;
    *h) unit=3600 ;;
    *) return ;;
    esac
    case ${1%?} in
    "" | *[!0-9]* | 0* | ??????*) ;;
    *) echo "$((${1%?} * unit))" ;;
    esac
}

# Stops PostgreSQL, and waits until its pod is gone. It archives its last WAL before it ends.
stop_server() {
    local pods waited=0
    kube patch statefulset "$statefulset" --type merge --patch '{"spec": {"replicas": 0}}' >/dev/null ||
        fail 1 "cannot stop the StatefulSet '$statefulset'"
    say "stopping the StatefulSet $statefulset"
    until pods=$(kube get pod "$statefulset-0" --ignore-not-found --output name) && [ -z "$pods" ]; do
        [ "$waited" -lt "${STOP_SECONDS:-600}" ] ||
            fail 1 "the pod '$statefulset-0' has not ended within $waited s" "kubectl describe pod $statefulset-0 -n $namespace"
        waited=$((waited + 1))
        sleep 1
    done
}

# Prints the patch that puts a claim in the place of the old one: switch_patch CLAIM
switch_patch() {
    local at path kind mounts=""
    if [ -z "$has_template" ]; then
        printf '{"spec": {"template": {"spec": {"volumes": [{"name": %s, "persistentVolumeClaim": {"claimName": %s}}]}}}}' \
            "$(json "$volume")" "$(json "$1")"
        return
    fi
    # What a claim template has made cannot have another claim: another volume takes its place.
    for kind in initContainers containers; do
        mounts="$mounts${mounts:+, }\"$kind\": [$(kube get statefulset "$statefulset" --output "jsonpath={range .spec.template.spec.${kind}[*]}{.name}{range .volumeMounts[?(@.name==\"$volume\")]}{\"\\t\"}{.mountPath}{end}{\"\\n\"}{end}" |
            while IFS=$'\t' read -r at path; do
                [ -z "$path" ] || printf '%s\t%s\n' "$at" "$path"
            done |
            awk -F '\t' '{
                for (i = 2; i <= NF; i++) mounts = mounts (i > 2 ? ", " : "") "{\"mountPath\": \"" $i "\", \"name\": \"restored\"}"
                printf "%s{\"name\": \"%s\", \"volumeMounts\": [%s]}", (NR > 1 ? ", " : ""), $1, mounts; mounts = ""
            }')]"
    done
    printf '{"spec": {"template": {"spec": {"volumes": [{"name": "restored", "persistentVolumeClaim": {"claimName": %s}}], %s}}}}' \
        "$(json "$1")" "$mounts"
}

# Starts PostgreSQL on the new claim, and waits until it has recovered: start_server CLAIM
start_server() {
    local seen=""
    kube patch statefulset "$statefulset" --type strategic --patch "$(switch_patch "$1")" >/dev/null ||
        fail 1 "cannot give the StatefulSet '$statefulset' the claim '$1'"
    # Before its controller knows of the new claim it would start a pod on the old one.
    until seen=$(statefulset_field .status.observedGeneration) && [ "$seen" = "$(statefulset_field .metadata.generation)" ]; do
        sleep 1
    done
    kube patch statefulset "$statefulset" --type merge --patch '{"spec": {"replicas": 1}}' >/dev/null ||
        fail 1 "cannot start the StatefulSet '$statefulset'"
    say "starting the StatefulSet $statefulset on the claim $1; its log: kubectl logs -n $namespace $statefulset-0"
    run_job postgresql-restore "$(job_name await-recovery)" "
        {\"op\": \"add\", \"path\": \"/spec/activeDeadlineSeconds\", \"value\": $(($(seconds "$wait") + beside_waiting))},
        {\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/command\", \"value\": [\"sh\", \"-euc\", $(json "$await_line")]},
        {\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/args\", \"value\": [\"await\", \"$(seconds "$wait")\", \"$still_recovering\"]}"
}

# The arguments that say which moment, and of which store.
recovery_arguments() {
    arguments=('$(STORE)'"$in")
    case $moment in
    lsn:* | xid:* | name:*) arguments+=(--target "$moment") ;;
    *) arguments+=(--at "$moment") ;;
    esac
    arguments+=(${more[@]+"${more[@]}"})
}

# The whole cluster, into a new claim, which takes the place of the old one.
recover_cluster() {
    local new job code=0 space spec state
    spec=$(claim_spec)
    case $(statefulset_field .spec.replicas) in
    "" | 0 | 1) ;;
    *) fail 4 "the StatefulSet '$statefulset' has several replicas, which would share one claim" "scale it to 1 before" ;;
    esac
    new=$(job_name "${claim%-restored-*}-restored")
    job=$(job_name recover)
    space='"persistentVolumeClaim": {"claimName": '$(json "$new")'}'
    fill=("$space" 256Mi "$fill_line" "$mount" "$sub_path" "${arguments[@]}")
    if [ "$pgdata" = "$mount" ] && [ -z "$sub_path" ]; then
        fail 4 "the data directory '$pgdata' is the volume's own root, which belongs to root" \
            "set PGDATA to '$mount/pgdata', or a subPath of the volume"
    fi
    say "restores: the whole cluster, as it was at $moment"
    say "          into the new claim $new; the old one, $claim, stays as it is"
    if [ -n "$archives" ]; then
        say "archives: on into this store, as a timeline of its own: the StatefulSet says archive_mode=on"
    else
        say "archives: nothing, until ALTER SYSTEM RESET archive_mode and a restart"
    fi
    if [ "$moment" = end ]; then
        say "stops:    the StatefulSet $statefulset, then restores, and starts it on the new claim"
    else
        say "stops:    the StatefulSet $statefulset when the new claim is filled, and starts it on that"
    fi
    say "stop the applications first: what they write from now on is lost"
    if [ -n "$dry_run" ]; then
        echo ---
        new_claim "$new" "$spec" | kube create --dry-run=client --output yaml --filename -
        echo ---
        recovery_job "$job" yaml "${fill[@]}"
        change kube patch statefulset "$statefulset" --type strategic --patch "$(switch_patch "$new")"
        return
    fi
    prepare_recovery "$job" "${fill[@]}"
    confirm "restore now?"
    # Its last WAL is in the store when it has ended.
    [ "$moment" != end ] || stop_server
    new_claim "$new" "$spec" | kube create --filename - >/dev/null || fail 1 "cannot make the claim '$new'"
    # In a subshell, which ends if the job does not start.
    (run_recovery "$job") || code=$?
    if [ "$code" != 0 ]; then
        state="the server was not touched"
        [ "$moment" != end ] ||
            state="start the server on its old claim: kubectl patch statefulset $statefulset -n $namespace -p '{\"spec\":{\"replicas\":1}}'"
        fail "$code" "the restore failed with exit code $code" \
            "$state; the claim that was not filled: kubectl delete pvc -n $namespace $new"
    fi
    [ "$moment" = end ] || stop_server
    code=0
    (start_server "$new") || code=$?
    case $code in
    0) ;;
    "$still_recovering")
        fail 1 "the server on the claim $new has not recovered within $wait" \
            "kubectl logs -n $namespace $statefulset-0 --tail=20: while it replays, it goes on by itself, and SELECT pg_is_in_recovery() says f when it is done; kubectl get pod -n $namespace $statefulset-0: if it starts again and again, kubectl rollout undo -n $namespace statefulset/$statefulset goes back to the old data, on the claim $claim"
        ;;
    *)
        fail "$code" "the server on the new claim could not be asked" \
            "kubectl logs -n $namespace $statefulset-0; the old data are on the claim $claim"
        ;;
    esac
    say "restored. Write it into your manifests, or the next apply brings the old data back: volume of the StatefulSet, claim $new"
    say "when nobody misses anything: kubectl delete pvc -n $namespace $claim; and make a base backup"
}

# One database, into the live server beside the others.
recover_database() {
    local job code=0 space
    job=$(job_name recover)
    # A disk for the while: what is recovered may be as large as the cluster.
    space='"ephemeral": {"volumeClaimTemplate": {"spec": '$(claim_spec)'}}'
    arguments+=(--database "$database" --yes)
    [ -z "$name" ] || arguments+=(--as "$name")
    [ -z "$replace" ] || arguments+=(--replace --force-disconnect)
    say "restores: the database '$database' as it was at $moment${name:+, as '$name'}"
    if [ -n "$replace" ]; then
        say "          in the place of what is there; its connections are closed, it is kept as …_replaced_…"
        say "stop the applications first: what they write from now on is lost"
    else
        say "          beside what is there: a database of that name that is not empty is refused"
    fi
    if [ -n "$dry_run" ]; then
        recovery_job "$job" yaml "$space" 2Gi "$database_line" "${arguments[@]}"
        return
    fi
    prepare_recovery "$job" "$space" 2Gi "$database_line" "${arguments[@]}"
    confirm "restore now?"
    (run_recovery "$job") || code=$?
    # The disk goes with the pod; the log was shown.
    kube delete job "$job" --wait=false >/dev/null ||
        say "the disk of the job $job is there until: kubectl delete job -n $namespace $job"
    [ "$code" = 0 ] ||
        fail "$code" "the restore failed with exit code $code; what was there before is unchanged where the log does not say otherwise"
    say "restored"
}

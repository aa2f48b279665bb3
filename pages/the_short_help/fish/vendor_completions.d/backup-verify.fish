complete -c backup-verify -l state -d 'With --all: file of backups found good, which are skipped' -r -F
complete -c backup-verify -l again-after -d 'With --state: read a backup again if it was last read more than AGE ago' -r
complete -c backup-verify -l max-age -d 'Age limit of the newest data' -r
complete -c backup-verify -l max-base-age -d 'Age limit of the newest base backup' -r
complete -c backup-verify -l max-lag -d 'How far the WAL archive may be behind the server' -r
complete -c backup-verify -l max-size-change -d 'Allowed shrinkage of a backup' -r
complete -c backup-verify -l max-used -d 'Allowed use of disk or quota' -r
complete -c backup-verify -l quota -d 'Space for all backups, e.g. 500G or 2T' -r
complete -c backup-verify -l every -d 'Interval between backups' -r
complete -c backup-verify -l max-missed -d 'How many of the last 7 backups may be missing' -r
complete -c backup-verify -l warn-expiry -d 'Warn if the token expires within this time' -r
complete -c backup-verify -l keep-days -d '--keep-days that blob-prune runs with' -r
complete -c backup-verify -l keep-weekly -d '--keep-weekly that blob-prune runs with' -r
complete -c backup-verify -l keep-monthly -d '--keep-monthly that blob-prune runs with' -r
complete -c backup-verify -l keep-min -d '--keep-min that blob-prune runs with' -r
complete -c backup-verify -s d -l dbname -d 'Compare the WAL archive with this server' -r
complete -c backup-verify -l into -d 'Restore into this server: \'host=…\' or postgresql://…' -r
complete -c backup-verify -l at -d 'Recover the cluster to TIME instead: TIME, random or end' -r
complete -c backup-verify -l database -d 'Restore this database only' -r
complete -c backup-verify -l pg-bindir -d 'Directory of initdb and postgres' -r -F
complete -c backup-verify -l work-dir -d 'Directory for the test server\'s data [default: TMPDIR, /tmp]' -r -F
complete -c backup-verify -l metrics -d 'Write a store\'s Prometheus metrics to this file' -r -F
complete -c backup-verify -l push -d 'Push a store\'s metrics to this Pushgateway' -r
complete -c backup-verify -l ping -d 'Dead-man\'s switch: URL if all is good, else URL/fail' -r
complete -c backup-verify -l jobs -d 'With --all: N backups at once; --restore-test: N sessions' -r
complete -c backup-verify -l threads -d 'Decompress with N threads [default: number of CPUs]' -r
complete -c backup-verify -l deadline -d 'Stop retrying a request after this long [default: 15m]' -r
complete -c backup-verify -l now -d 'Time that ages are counted from [default: now]' -r
complete -c backup-verify -l json -d 'Print one JSON document instead of lines'
complete -c backup-verify -l all -d 'Check every backup of the store, not only the newest'
complete -c backup-verify -l wal-only -d 'Check base backups and WAL only'
complete -c backup-verify -l restore-test -d 'Restore the backup, compare the data with its index'
complete -c backup-verify -l ping-start -d 'Also tell the switch when work begins: URL/start'
complete -c backup-verify -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backup-verify -s V -l version -d 'Print version'

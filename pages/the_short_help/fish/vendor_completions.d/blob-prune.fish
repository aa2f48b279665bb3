complete -c blob-prune -l keep-days -d 'Keep backups of the last N days' -r
complete -c blob-prune -l keep-weekly -d 'Keep the last backup of each of the newest N weeks' -r
complete -c blob-prune -l keep-monthly -d 'Keep the last backup of each of the newest N months' -r
complete -c blob-prune -l keep-min -d 'Keep at least the newest N, however old' -r
complete -c blob-prune -l wal-days -d 'Keep WAL to reach every moment of the last N days' -r
complete -c blob-prune -l max-age -d 'Delete no dump if the newest one is older than this' -r
complete -c blob-prune -l max-base-age -d 'Delete no base backup, and no WAL, if the newest base backup is older than this' -r
complete -c blob-prune -l deadline -d 'Stop retrying a request after this long [default: 15m]' -r
complete -c blob-prune -l now -d 'Time that ages are counted from [default: now]' -r
complete -c blob-prune -l dry-run -d 'Delete nothing; print what would be deleted'
complete -c blob-prune -l json -d 'Print one JSON document instead of lines'
complete -c blob-prune -l even-if-stale -d 'Delete even if the newest backup is older than that'
complete -c blob-prune -s h -l help -d 'Print help (see more with \'--help\')'
complete -c blob-prune -s V -l version -d 'Print version'

complete -c restore-stream -l before -d 'Newest good backup started before TIME' -r
complete -c restore-stream -l database -d 'Restore this database only, without roles' -r
complete -c restore-stream -l as -d 'With --database: restore it under this name' -r
complete -c restore-stream -l table -d 'With --database: this table\'s rows only' -r
complete -c restore-stream -l into-table -d 'With --table: into this new table, beside it' -r
complete -c restore-stream -l exclude-table-data -d 'With --database: all but the rows of this table; may be repeated' -r
complete -c restore-stream -l exclude-database -d 'Leave this database out; may be repeated' -r
complete -c restore-stream -s d -l dbname -d 'Server: \'host=…\', postgresql://…, or a database' -r
complete -c restore-stream -l jobs -d 'Restore with N sessions at once' -r
complete -c restore-stream -l on-error -d 'On a failed statement: stop, continue' -r -f -a "stop\t'Undo everything and stop'
continue\t'Go on, as psql does'"
complete -c restore-stream -l in-place -d 'Fill this database under its own name' -r
complete -c restore-stream -l threads -d 'Decompress with N threads [default: the CPUs available]' -r
complete -c restore-stream -l deadline -d 'Stop retrying a request after this long [default: 15m]' -r
complete -c restore-stream -l unit-order -d 'What N sessions share, in an order that comes of this number: for tests' -r
complete -c restore-stream -l psql-user -d 'Run psql as this user and group, which only root can: for backup-verify\'s restore test' -r
complete -c restore-stream -l at -d 'As it was at TIME, or at the end of the WAL' -r
complete -c restore-stream -l data-dir -d 'With --at: into this empty directory' -r -F
complete -c restore-stream -l target -d 'Instead of --at: lsn:LSN, xid:NUMBER, or name:RESTORE_POINT' -r
complete -c restore-stream -l timeline -d 'Follow this timeline [default: the newest that there is WAL of]' -r
complete -c restore-stream -l target-action -d 'What the server does then: promote, pause, shutdown' -r -f -a "promote\t'It takes up its work, on a timeline of its own'
pause\t'It waits, and may be read'
shutdown\t'It stops'"
complete -c restore-stream -l work-dir -d 'With --database: the private server\'s directory [default: TMPDIR, /tmp]' -r -F
complete -c restore-stream -l pg-bindir -d 'With --database: the directory of postgres' -r -F
complete -c restore-stream -l wal -d 'Get this file of the WAL archive: a segment or a history' -r
complete -c restore-stream -l to -d 'Where the file goes' -r -F
complete -c restore-stream -l ahead -d 'Fetch up to N more segments, into restore-stream.spool' -r
complete -c restore-stream -l system -d 'The cluster\'s system identifier [default: PATH\'s data directory\'s, or the only one]' -r
complete -c restore-stream -l list -d 'List a store\'s backups, or a backup\'s contents; restore nothing'
complete -c restore-stream -l yes -d 'Do not ask; needed by --replace where there is no terminal'
complete -c restore-stream -l json -d 'Print a JSON report on standard output'
complete -c restore-stream -l latest -d 'Newest good backup of the store'
complete -c restore-stream -l verify-first -d 'Check the whole backup before restoring anything'
complete -c restore-stream -l schema-only -d 'With --database: definitions only, no rows'
complete -c restore-stream -l globals-only -d 'Restore roles and tablespaces only'
complete -c restore-stream -l no-globals -d 'Leave out roles and tablespaces'
complete -c restore-stream -l no-owners -d 'Leave out owners and privileges'
complete -c restore-stream -l role-passwords -d 'Give existing roles the backup\'s attributes and passwords'
complete -c restore-stream -l replace -d 'Replace databases; the old ones become NAME_replaced_…'
complete -c restore-stream -l drop-old -d 'With --replace: drop the old databases after success'
complete -c restore-stream -l force-disconnect -d 'Close connections to databases that are replaced'
complete -c restore-stream -l older-server -d 'Restore even if the server is older than the backup\'s'
complete -c restore-stream -l exclusive -d 'Stop just before the moment or the target, not after it'
complete -c restore-stream -l with-wal -d 'Fetch the WAL too, so that the server needs no restore-stream'
complete -c restore-stream -l rejoin -d 'Leave WAL archiving as the cluster had it'
complete -c restore-stream -l allow-tablespaces -d 'Replay the creation of tablespaces, into the directories that the WAL names'
complete -c restore-stream -l standby -d 'For a standby, which asks again: what is not there is absent'
complete -c restore-stream -l no-tablespaces -d 'Refuse a segment in which a tablespace is created'
complete -c restore-stream -s h -l help -d 'Print help (see more with \'--help\')'
complete -c restore-stream -s V -l version -d 'Print version'

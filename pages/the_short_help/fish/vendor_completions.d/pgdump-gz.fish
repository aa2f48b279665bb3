complete -c pgdump-gz -l dir -d 'Write into this directory, and print the backup\'s path' -r
complete -c pgdump-gz -l checkpoint -d 'Checkpoint that a base backup begins with: fast or spread' -r -f -a "fast\t''
spread\t''"
complete -c pgdump-gz -l exclude-database -d 'Leave out databases whose name matches; may be repeated' -r
complete -c pgdump-gz -l exclude-table -d 'Leave out tables whose name matches; may be repeated' -r
complete -c pgdump-gz -l exclude-table-data -d 'Leave out the rows of tables whose name matches; may be repeated' -r
complete -c pgdump-gz -l exclude-schema -d 'Leave out schemas whose name matches; may be repeated' -r
complete -c pgdump-gz -l restrict-key -d 'Key of the \\restrict lines, so that two dumps can be compared' -r
complete -c pgdump-gz -s d -l dbname -d 'Server: \'host=…\', postgresql://…, or a database' -r
complete -c pgdump-gz -l wait -d 'Wait up to TIME for a server that is starting' -r
complete -c pgdump-gz -l lock-wait-timeout -d 'Fail if a table stays locked for this long' -r
complete -c pgdump-gz -l max-lag -d 'Refuse a standby that is further behind its primary' -r
complete -c pgdump-gz -l jobs -d 'Dump N databases at once; the SQL does not change' -r
complete -c pgdump-gz -l max-rate -d 'Read at most RATE bytes a second, e.g. 500K or 20M' -r
complete -c pgdump-gz -l level -d 'Compression level, 1 (fastest) to 9 (smallest)' -r
complete -c pgdump-gz -l threads -d 'Compress with N threads [default: the CPUs available]' -r
complete -c pgdump-gz -l base -d 'Take a base backup: a copy of the data directory, as one tar'
complete -c pgdump-gz -l no-role-passwords -d 'Leave out the roles\' passwords, which only a superuser can read'
complete -c pgdump-gz -l json -d 'Print one JSON document instead of the path; needs --dir'
complete -c pgdump-gz -l no-sched-batch -d 'Keep the system\'s default scheduling'
complete -c pgdump-gz -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pgdump-gz -s V -l version -d 'Print version'

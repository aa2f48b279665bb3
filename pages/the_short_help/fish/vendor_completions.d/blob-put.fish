complete -c blob-put -l ahead -d 'Send up to N more segments at once that are ready' -r
complete -c blob-put -l tier -d 'Access tier: Hot, Cool, Cold or Archive' -r
complete -c blob-put -l immutable-days -d 'Make the blob immutable for N days' -r
complete -c blob-put -l tag -d 'Add an index tag; may be repeated' -r
complete -c blob-put -l concurrency -d 'Send N blocks at once' -r
complete -c blob-put -l memory -d 'Memory for blocks, at least 16M' -r
complete -c blob-put -l max-rate -d 'Send at most RATE bytes a second, e.g. 500K or 20M' -r
complete -c blob-put -l deadline -d 'Stop retrying a request after this long [default: 15m, --wal: 20s]' -r
complete -c blob-put -l warn-expiry -d 'Warn if the token expires within this time' -r
complete -c blob-put -l overwrite -d 'Replace a blob or file of the same name'
complete -c blob-put -l raw -d 'Upload anything, not only a whole backup of pgdump-gz'
complete -c blob-put -l wal -d 'Archive a file of PostgreSQL\'s WAL, or all of a pg_wal directory'
complete -c blob-put -l json -d 'Print the result as one JSON document'
complete -c blob-put -s h -l help -d 'Print help (see more with \'--help\')'
complete -c blob-put -s V -l version -d 'Print version'

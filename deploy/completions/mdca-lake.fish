# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mdca_lake_global_optspecs
    string join \n report= progress= log-format= v/verbose h/help V/version
end

function __fish_mdca_lake_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mdca_lake_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mdca_lake_using_subcommand
    set -l cmd (__fish_mdca_lake_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -s h -l help -d 'Print help'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -s V -l version -d 'Print version'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "scan" -d 'Scan the activities of a time window into a lake'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "check" -d 'Ask whether a scan with these flags can run: one line for each question, with the remedy'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "convert" -d 'Convert saved API pages, JSON arrays or NDJSON into a lake of their own'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "demo" -d 'Run a scan against a simulated tenant inside this process'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "status" -d 'Show what a lake holds: coverage, gaps, watermark, rows and bytes per day, last runs'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "verify" -d 'Check every committed file, and name what is missing, damaged or left over'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "compact" -d 'Merge the small files of past days'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "export" -d 'Write the original records as NDJSON to stdout, by `timestamp`'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "connect" -d 'Print what opens exactly the live rows of a lake in an engine, by its Delta table'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "schema" -d 'Print the schema'
complete -c mdca-lake -n "__fish_mdca_lake_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l api-url -d 'The tenant\'s API URL, as the portal shows it under Settings, Cloud Apps, System, About' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l page-limit -d 'Maximum records per page' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l requests-per-minute -d 'Maximum requests per minute; a tenant allows 30 for all its clients; 0 is unlimited' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l max-attempts -d 'Maximum attempts per request' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l entra-tenant -d 'Tenant of the application in Entra: its id or a domain' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l client-id -d 'Id of the application; of the identity, with --managed-identity, where there are several' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l client-secret-file -d 'File with the application\'s secret; otherwise `MDCA_CLIENT_SECRET` holds the secret' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l client-certificate-file -d 'PEM file with a certificate of the application and its private key' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l federated-token-file -d 'File with a token of an issuer that the application trusts, as Kubernetes gives it' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l authority -d 'Entra\'s address [that of --api-url\'s cloud: <https://login.microsoftonline.com>, <https://login.microsoftonline.us>]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l token-file -d 'File with an API token, the older way; otherwise `MDCA_API_TOKEN` holds the token' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l filters -d 'Filters of the service: a JSON object, or @FILE with one' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l service -d 'Scan only the activities of this app (several: by commas, or repeated), such as 20893 for Exchange' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l app-instance -d 'Scan only the activities of this instance of an app (several: by commas, or repeated)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l user -d 'Scan only the activities of this user name (several: by commas, or repeated)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l ip -d 'Scan only the activities from this address (several: by commas, or repeated)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l activity-type -d 'Scan only the activities of this type (several: by commas, or repeated), such as `EVENT_CATEGORY_LOGIN`' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l from -d 'Start of the window: RFC 3339, a date, or a duration before now (24h, 7d)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l until -d 'End of the window, exclusive' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l by -d 'Clock of the lake: created (when the service saved a record) or date (when it happened)' -r -f -a "created\t''
date\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l slice -d 'Length of a slice, in whole minutes [new lakes: 1h]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l settle -d 'Wait this long after the end of a slice before scanning it [by created: 15m, by date: 24h]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l initial -d 'Where a new lake begins without --from, before now' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l parallel -d 'Slices scanned at the same time; they share the request budget' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l if-running -d 'If another run is active: yield leaves it the slices of its plan, go does not' -r -f -a "yield\t''
go\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l memory-limit -d 'Memory for buffered rows and pages in flight, for all slices together [half of the container\'s, at most 256MiB]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l max-page-bytes -d 'Maximum size of a page, decompressed' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l on-reject -d 'Records that cannot become rows: keep them, or fail their slice' -r -f -a "keep\t''
fail\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l compression -d 'Compression of the files, zstd:1 to zstd:22' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l max-file-bytes -d 'Maximum size of a file, approximately' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l metrics-file -d 'File for the metrics of the run, in the form that Prometheus\' textfile collector reads' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l change-host -d 'The tenant has moved: change the lake\'s host to that of --api-url'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l managed-identity -d 'Sign in as the managed identity of this machine or service of Azure'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l dry-run -d 'Print the plan; send nothing and write nothing'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l keep-raw -d 'Store every record\'s exact text in the column `raw`'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -l single-writer -d 'Allow stores without conditional writes (one writer only)'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l api-url -d 'The tenant\'s API URL, as the portal shows it under Settings, Cloud Apps, System, About' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l page-limit -d 'Maximum records per page' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l requests-per-minute -d 'Maximum requests per minute; a tenant allows 30 for all its clients; 0 is unlimited' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l max-attempts -d 'Maximum attempts per request' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l entra-tenant -d 'Tenant of the application in Entra: its id or a domain' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l client-id -d 'Id of the application; of the identity, with --managed-identity, where there are several' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l client-secret-file -d 'File with the application\'s secret; otherwise `MDCA_CLIENT_SECRET` holds the secret' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l client-certificate-file -d 'PEM file with a certificate of the application and its private key' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l federated-token-file -d 'File with a token of an issuer that the application trusts, as Kubernetes gives it' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l authority -d 'Entra\'s address [that of --api-url\'s cloud: <https://login.microsoftonline.com>, <https://login.microsoftonline.us>]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l token-file -d 'File with an API token, the older way; otherwise `MDCA_API_TOKEN` holds the token' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l filters -d 'Filters of the service: a JSON object, or @FILE with one' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l service -d 'Scan only the activities of this app (several: by commas, or repeated), such as 20893 for Exchange' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l app-instance -d 'Scan only the activities of this instance of an app (several: by commas, or repeated)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l user -d 'Scan only the activities of this user name (several: by commas, or repeated)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l ip -d 'Scan only the activities from this address (several: by commas, or repeated)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l activity-type -d 'Scan only the activities of this type (several: by commas, or repeated), such as `EVENT_CATEGORY_LOGIN`' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l from -d 'Start of the window: RFC 3339, a date, or a duration before now (24h, 7d)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l until -d 'End of the window, exclusive' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l by -d 'Clock of the lake: created (when the service saved a record) or date (when it happened)' -r -f -a "created\t''
date\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l slice -d 'Length of a slice, in whole minutes [new lakes: 1h]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l settle -d 'Wait this long after the end of a slice before scanning it [by created: 15m, by date: 24h]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l initial -d 'Where a new lake begins without --from, before now' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l parallel -d 'Slices scanned at the same time; they share the request budget' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l if-running -d 'If another run is active: yield leaves it the slices of its plan, go does not' -r -f -a "yield\t''
go\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l memory-limit -d 'Memory for buffered rows and pages in flight, for all slices together [half of the container\'s, at most 256MiB]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l max-page-bytes -d 'Maximum size of a page, decompressed' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l on-reject -d 'Records that cannot become rows: keep them, or fail their slice' -r -f -a "keep\t''
fail\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l compression -d 'Compression of the files, zstd:1 to zstd:22' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l max-file-bytes -d 'Maximum size of a file, approximately' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l metrics-file -d 'File for the metrics of the run, in the form that Prometheus\' textfile collector reads' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l change-host -d 'The tenant has moved: change the lake\'s host to that of --api-url'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l managed-identity -d 'Sign in as the managed identity of this machine or service of Azure'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l dry-run -d 'Print the plan; send nothing and write nothing'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l keep-raw -d 'Store every record\'s exact text in the column `raw`'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -l single-writer -d 'Allow stores without conditional writes (one writer only)'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l shard -d 'Take only share K of N of the inputs, by the hash of their names; K counts from 0 to N-1 or from 1 to N' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l parallel -d 'Files converted at the same time; each uses all cores' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l memory-limit -d 'Memory for buffered rows and records in flight, for all files together [half of the container\'s, at most 256MiB]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l on-reject -d 'Records that cannot become rows: keep them, or fail their slice' -r -f -a "keep\t''
fail\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l compression -d 'Compression of the files, zstd:1 to zstd:22' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l max-file-bytes -d 'Maximum size of a file, approximately' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l metrics-file -d 'File for the metrics of the run, in the form that Prometheus\' textfile collector reads' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l dry-run -d 'Print the inputs; write nothing'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l keep-raw -d 'Store every record\'s exact text in the column `raw`'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -l single-writer -d 'Allow stores without conditional writes (one writer only)'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand convert" -s h -l help -d 'Print help'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand demo" -l lake -d 'Lake to create' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand demo" -l activities -d 'Number of activities of the simulated tenant, over three days' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand demo" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand demo" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand demo" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand demo" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand demo" -s h -l help -d 'Print help'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -l max-age -d 'End with exit code 5 if the newest committed slice ended longer ago' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -l max-gaps -d 'End with exit code 5 if there are more gaps' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand status" -s h -l help -d 'Print help'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -l deep -d 'Also decode every row: counts, times, order, repeats, statistics, bloom filters, schema'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -l sweep -d 'Remove this program\'s leftover files of committed slices'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand verify" -s h -l help -d 'Print help'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l before -d 'Compact the days (UTC, of the activities) that ended at least this long ago' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l keep-reports -d 'Remove the reports of runs that are older than this, at least 30d' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l memory-limit -d 'Memory for the rows that are merged and written [half of the container\'s, at most 256MiB]' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l compression -d 'Compression of the files, zstd:1 to zstd:22' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l max-file-bytes -d 'Maximum size of a file, approximately; files of half of it or more are left as they are' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l metrics-file -d 'File for the metrics of the run, in the form that Prometheus\' textfile collector reads' -r -F
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l single-writer -d 'Allow stores without conditional writes (one writer only)'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -l dry-run -d 'Print the days with their files and bytes before and after; write nothing'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand compact" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -l from -d 'Start of the window: RFC 3339, a date, or a duration before now (24h, 7d)' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -l until -d 'End of the window, exclusive' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand export" -s h -l help -d 'Print help'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand connect" -l lake -d 'The lake: a path, file:///folder, s3://bucket/folder, az://container/folder, abfss://container@account.dfs.core.windows.net/folder or gs://bucket/folder' -r
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand connect" -l engine -d 'Engine that is to read the lake' -r -f -a "duckdb\t'SQL for DuckDB with its Delta extension'
spark\t'SQL for Spark with Delta'
polars\t'Python for Polars'
trino\t'SQL for Trino\'s Delta Lake connector'
fabric\t'What to do in Fabric'
datafusion\t'Python for DataFusion'"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand connect" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand connect" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand connect" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand connect" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand connect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand schema" -l format -d 'Format' -r -f -a "table\t''
arrow\t''
parquet\t''
duckdb\t''
spark\t''
trino\t''
athena\t''
delta\t''
markdown\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand schema" -l report -d 'Form of the report on stdout' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand schema" -l progress -d 'Progress on stderr' -r -f -a "auto\t''
never\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand schema" -l log-format -d 'Form of the logs on stderr' -r -f -a "text\t''
json\t''"
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand schema" -s v -l verbose -d 'Log more: -v slices and files, -vv pages, -vvv everything'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand schema" -s h -l help -d 'Print help'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "scan" -d 'Scan the activities of a time window into a lake'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "check" -d 'Ask whether a scan with these flags can run: one line for each question, with the remedy'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "convert" -d 'Convert saved API pages, JSON arrays or NDJSON into a lake of their own'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "demo" -d 'Run a scan against a simulated tenant inside this process'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "status" -d 'Show what a lake holds: coverage, gaps, watermark, rows and bytes per day, last runs'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "verify" -d 'Check every committed file, and name what is missing, damaged or left over'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "compact" -d 'Merge the small files of past days'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "export" -d 'Write the original records as NDJSON to stdout, by `timestamp`'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "connect" -d 'Print what opens exactly the live rows of a lake in an engine, by its Delta table'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "schema" -d 'Print the schema'
complete -c mdca-lake -n "__fish_mdca_lake_using_subcommand help; and not __fish_seen_subcommand_from scan check convert demo status verify compact export connect schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

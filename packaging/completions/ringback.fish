# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ringback_global_optspecs
    string join \n h/help V/version
end

function __fish_ringback_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ringback_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ringback_using_subcommand
    set -l cmd (__fish_ringback_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ringback -n "__fish_ringback_needs_command" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_needs_command" -s V -l version -d 'Print version'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "serve" -d 'Run the engine'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "listen" -d 'Run a local receiver that verifies signatures and prints what arrives'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "trigger" -d 'Publish a sample event'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "orgs" -d 'Organizations: the customers of a product'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "webhooks" -d 'Webhooks: where events are sent'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "events" -d 'Events: publish, find, send again'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "logs" -d 'The delivery log: what was sent and what came back'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "event-types" -d 'Event types of an organization, or of the catalogue'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "api-keys" -d 'API keys of an organization, or of the deployment'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "load" -d 'Measure an engine under load, compared with what this machine can do without one'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "cluster" -d 'Show which nodes share the database'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "backup" -d 'Copy a SQLite database while an engine uses it'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "check" -d 'Check a database: its file, what points to nothing, counts against rows'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "health" -d 'Ask a running engine whether it is well'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "config" -d 'Check the settings'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "master-key" -d 'Generate a master key, or change the one that a database uses'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "svix" -d 'Tokens of the Svix-compatible API, and what comes over from Svix\'s server'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c ringback -n "__fish_ringback_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand serve" -l listen -d 'Address of the API and the dashboard [default: 127.0.0.1:8080]' -r
complete -c ringback -n "__fish_ringback_using_subcommand serve" -l database-url -d 'Database: sqlite://path or postgres://user@host/database [default: sqlite://ringback.db]' -r
complete -c ringback -n "__fish_ringback_using_subcommand serve" -l config -d 'Configuration file to read instead of ./ringback.toml' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand serve" -l dev -d 'Development mode: allow http and local targets, create the organization `dev` and its key'
complete -c ringback -n "__fish_ringback_using_subcommand serve" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l listen -d 'Address to listen on' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l secret -d 'Verify signatures with this secret or public key (whpk_…), and do not register a webhook' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l forward-to -d 'Send each delivery on to this address, and answer what it answers' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l status -d 'Status to answer with' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l fail-first -d 'Number of requests to answer with --fail-with before the others get --status' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l fail-with -d 'Status for the first --fail-first requests' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l delay -d 'Wait this long before answering' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l events -d 'Event types or patterns to register for [default: all]' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l signature -d 'Register a webhook that signs with a secret, or with a private key, whose signatures its public key verifies [default: hmac]' -r -f -a "hmac\t''
ed25519\t''"
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l url -d 'URL to register, for example that of a tunnel [default: http://<listen>/]' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l signature-header-prefix -d 'Prefix of the signature header, as in the engine\'s setting of this name' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand listen" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand listen" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand trigger" -l data -d 'Data of the event as JSON, instead of the sample; sent unchanged. `@file` reads a file, `-` standard input' -r
complete -c ringback -n "__fish_ringback_using_subcommand trigger" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand trigger" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand trigger" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand trigger" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand trigger" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand trigger" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -f -a "list" -d 'List organizations, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -f -a "get" -d 'Show an organization'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -f -a "create" -d 'Create an organization'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -f -a "update" -d 'Change the fields that are given'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -f -a "delete" -d 'Delete an organization with its webhooks, events, logs and keys'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -f -a "sign-in-link" -d 'Make a link that opens the dashboard of an organization once'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and not __fish_seen_subcommand_from list get create update delete sign-in-link help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l limit -d 'Rows to show [default: 50]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l cursor -d 'Go on where another list ended' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l failing -d 'Only those with a webhook that fails'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l all -d 'Show all rows'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from get" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from get" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from get" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from get" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from get" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from get" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l name -d 'Name for people' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l uid -d 'Your own id of it' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l metadata -d 'What you keep with it, like plan=pro; all of them together replace what is there' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l body -d 'What receivers get of its events: envelope, or verbatim (what was published, and nothing around it)' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l data -d 'All fields as JSON; `@file` reads a file, `-` standard input. A flag wins over a field' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l idempotency-key -d 'Repeated with the same key, the command creates nothing again' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l get -d 'If there is one with this uid, show that one'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l name -d 'Name for people' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l uid -d 'Your own id of it' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l metadata -d 'What you keep with it, like plan=pro; all of them together replace what is there' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l body -d 'What receivers get of its events: envelope, or verbatim (what was published, and nothing around it)' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l data -d 'All fields as JSON; `@file` reads a file, `-` standard input. A flag wins over a field' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Delete without asking; needed where nobody can be asked'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l role -d 'What the visitor may do: viewer, manager or owner [default: manager]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l expires-in -d 'How long the link can be opened, like 45s, 10m or 7d [default: 5m]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l return-url -d 'Where the link back of the dashboard leads' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l name -d 'Name of the visitor' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from sign-in-link" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from help" -f -a "list" -d 'List organizations, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from help" -f -a "get" -d 'Show an organization'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create an organization'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from help" -f -a "update" -d 'Change the fields that are given'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete an organization with its webhooks, events, logs and keys'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from help" -f -a "sign-in-link" -d 'Make a link that opens the dashboard of an organization once'
complete -c ringback -n "__fish_ringback_using_subcommand orgs; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "list" -d 'List webhooks, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "get" -d 'Show a webhook with all its settings'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "create" -d 'Create a webhook'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "update" -d 'Change the settings that are given'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "delete" -d 'Delete a webhook; what waits for it is cancelled'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "test" -d 'Send one signed sample event now'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "resume" -d 'Close the breaker, and send now what waits for a retry'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "recover" -d 'Send again every failed delivery of a range of time'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "rotate-secret" -d 'Make a new secret; the old one stays valid for a while'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "secret" -d 'Show the secret that verifies signatures'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "health" -d 'Show whether deliveries succeed, how fast, and what waits'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and not __fish_seen_subcommand_from list get create update delete test resume recover rotate-secret secret health help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l limit -d 'Rows to show [default: 50]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l cursor -d 'Go on where another list ended' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l all -d 'Show all rows'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from get" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from get" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from get" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from get" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from get" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from get" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l url -d 'Where events are sent' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l events -d 'Event types or patterns, like call.completed,batch.*; \'\' means all' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l channels -d 'Only events of these channels, separated by commas; \'\' for all' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l description -d 'A note for people; \'\' takes it away' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l active -d 'Whether events are sent' -r -f -a "true\t''
false\t''"
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l filters -d 'Conditions on the data of an event, as JSON or @file' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l timeout -d 'Seconds for a whole attempt' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l retry -d 'Retries after the first attempt' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l retry-policy -d 'A retry schedule of your own, as JSON or @file' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l retry-schedule -d 'The delay before each retry, in seconds, like 5,300,1800' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l retry-on -d 'Classes of responses that are retried although they are final, like 4xx,3xx' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l header -d 'A header of every request, like \'x-token: abc\'; all of them together replace those that are there' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l client-certificate -d 'A client certificate for mTLS: a file in PEM, with its intermediates; \'\' takes it away' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l client-key -d 'The private key of the client certificate: a file in PEM' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l oauth2 -d 'Where tokens come from: token_url, client_id, client_secret …, as JSON or @file; \'\' for none' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l rate-limit-per-second -d 'The most requests per second' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l rate-limit-burst -d 'Requests that may come at once after a pause' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l max-in-flight -d 'The most concurrent requests' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l ordered -d 'One delivery at a time, in the order of events' -r -f -a "true\t''
false\t''"
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l data -d 'All settings as JSON; `@file` reads a file, `-` standard input. A flag wins over a field' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l secret -d 'A signing secret of your own, visible in the list of processes; --data @file is not' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l signature -d 'What signs: a secret that the receiver has too, or a private key whose public key it gets' -r -f -a "hmac\t''
ed25519\t''"
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l url -d 'Where events are sent' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l events -d 'Event types or patterns, like call.completed,batch.*; \'\' means all' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l channels -d 'Only events of these channels, separated by commas; \'\' for all' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l description -d 'A note for people; \'\' takes it away' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l active -d 'Whether events are sent' -r -f -a "true\t''
false\t''"
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l filters -d 'Conditions on the data of an event, as JSON or @file' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l timeout -d 'Seconds for a whole attempt' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l retry -d 'Retries after the first attempt' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l retry-policy -d 'A retry schedule of your own, as JSON or @file' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l retry-schedule -d 'The delay before each retry, in seconds, like 5,300,1800' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l retry-on -d 'Classes of responses that are retried although they are final, like 4xx,3xx' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l header -d 'A header of every request, like \'x-token: abc\'; all of them together replace those that are there' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l client-certificate -d 'A client certificate for mTLS: a file in PEM, with its intermediates; \'\' takes it away' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l client-key -d 'The private key of the client certificate: a file in PEM' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l oauth2 -d 'Where tokens come from: token_url, client_id, client_secret …, as JSON or @file; \'\' for none' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l rate-limit-per-second -d 'The most requests per second' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l rate-limit-burst -d 'Requests that may come at once after a pause' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l max-in-flight -d 'The most concurrent requests' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l ordered -d 'One delivery at a time, in the order of events' -r -f -a "true\t''
false\t''"
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l data -d 'All settings as JSON; `@file` reads a file, `-` standard input. A flag wins over a field' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Delete without asking; needed where nobody can be asked'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -l event-type -d 'Type of the sample [default: call.completed]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from resume" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from resume" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from resume" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from resume" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from resume" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from resume" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l since -d 'Deliveries created since then: an instant, or how long ago, like 2h' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l until -d 'Deliveries created before then [default: now]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l status -d 'Which of them: failed or success [default: failed]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l once -d 'One attempt, and no retries'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from recover" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l overlap -d 'How long the old secret stays valid, like 45s, 2h or 7d [default: 1d]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l secret -d 'A secret of your own, visible in the list of processes' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l signature -d 'What signs from now on [default: as before]' -r -f -a "hmac\t''
ed25519\t''"
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from rotate-secret" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from secret" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from secret" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from secret" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from secret" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from secret" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from secret" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from secret" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from health" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from health" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from health" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from health" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from health" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from health" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from health" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "list" -d 'List webhooks, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "get" -d 'Show a webhook with all its settings'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create a webhook'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "update" -d 'Change the settings that are given'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete a webhook; what waits for it is cancelled'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "test" -d 'Send one signed sample event now'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Close the breaker, and send now what waits for a retry'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "recover" -d 'Send again every failed delivery of a range of time'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "rotate-secret" -d 'Make a new secret; the old one stays valid for a while'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "secret" -d 'Show the secret that verifies signatures'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "health" -d 'Show whether deliveries succeed, how fast, and what waits'
complete -c ringback -n "__fish_ringback_using_subcommand webhooks; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -f -a "list" -d 'List events, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -f -a "get" -d 'Show an event with its body and its deliveries'
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -f -a "publish" -d 'Publish an event'
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -f -a "replay" -d 'Send an event again'
complete -c ringback -n "__fish_ringback_using_subcommand events; and not __fish_seen_subcommand_from list get publish replay help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l event-type -d 'Only of this type' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l tag -d 'Only with this tag' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l from -d 'Accepted since then: an instant, or how long ago, like 2h' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l to -d 'Accepted until then' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l limit -d 'Rows to show [default: 50]' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l cursor -d 'Go on where another list ended' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l all -d 'Show all rows'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from get" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from get" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from get" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from get" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from get" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from get" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l data -d 'What happened, as JSON; `@file` reads a file, `-` standard input' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l timestamp -d 'When it happened [default: now]' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l idempotency-key -d 'Repeated with the same key, the command publishes nothing again' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l channel -d 'Only to webhooks that share a channel, or have none; can be repeated' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l tag -d 'To find the event by; can be repeated' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from publish" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l webhook -d 'To this webhook, instead of each that has a delivery of it' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l once -d 'One attempt, and no retries'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "list" -d 'List events, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "get" -d 'Show an event with its body and its deliveries'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "publish" -d 'Publish an event'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "replay" -d 'Send an event again'
complete -c ringback -n "__fish_ringback_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -f -a "list" -d 'List deliveries, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -f -a "get" -d 'Show a delivery with its body and every attempt'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -f -a "retry" -d 'Send a delivery again, with a new round of retries'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and not __fish_seen_subcommand_from list get retry help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l webhook -d 'Only to this webhook' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l event -d 'Only of this event' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l event-type -d 'Only of this type' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l tag -d 'Only of events with this tag' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l status -d 'Only success, failed, pending or cancelled' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l response-code -d 'Only with this response, like 503 or 5xx' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l from -d 'Created since then: an instant, or how long ago, like 2h' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l to -d 'Created until then' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l limit -d 'Rows to show [default: 50]' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l cursor -d 'Go on where another list ended' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l all -d 'Show all rows'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from get" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from get" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from get" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from get" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from get" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from get" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -l once -d 'One attempt, and no retries'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from help" -f -a "list" -d 'List deliveries, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from help" -f -a "get" -d 'Show a delivery with its body and every attempt'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from help" -f -a "retry" -d 'Send a delivery again, with a new round of retries'
complete -c ringback -n "__fish_ringback_using_subcommand logs; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -l catalogue -d 'Those of the catalogue, which all organizations have'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -f -a "list" -d 'List event types'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -f -a "get" -d 'Show an event type with its sample and schema'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -f -a "create" -d 'Create an event type'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -f -a "update" -d 'Change the fields that are given'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -f -a "delete" -d 'Delete an event type; webhooks that ask for it stay as they are'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and not __fish_seen_subcommand_from list get create update delete help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -l catalogue -d 'Those of the catalogue, which all organizations have'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -l catalogue -d 'Those of the catalogue, which all organizations have'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l description -d 'What it means' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l schema -d 'JSON Schema of its data, as JSON or @file; other data is refused' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l sample -d 'Sample of its data, as JSON or @file; test events are made of it' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l archived -d 'Accept it still, and offer it no longer' -r -f -a "true\t''
false\t''"
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l data -d 'All fields as JSON; `@file` reads a file, `-` standard input. A flag wins over a field' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l catalogue -d 'Those of the catalogue, which all organizations have'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l description -d 'What it means' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l schema -d 'JSON Schema of its data, as JSON or @file; other data is refused' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l sample -d 'Sample of its data, as JSON or @file; test events are made of it' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l archived -d 'Accept it still, and offer it no longer' -r -f -a "true\t''
false\t''"
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l data -d 'All fields as JSON; `@file` reads a file, `-` standard input. A flag wins over a field' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l catalogue -d 'Those of the catalogue, which all organizations have'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Delete without asking; needed where nobody can be asked'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -l catalogue -d 'Those of the catalogue, which all organizations have'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from help" -f -a "list" -d 'List event types'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from help" -f -a "get" -d 'Show an event type with its sample and schema'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create an event type'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from help" -f -a "update" -d 'Change the fields that are given'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete an event type; webhooks that ask for it stay as they are'
complete -c ringback -n "__fish_ringback_using_subcommand event-types; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -l deployment -d 'Those of the deployment, which belong to no organization'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -f -a "list" -d 'List keys, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -f -a "create" -d 'Create a key, which is shown once'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -f -a "delete" -d 'Delete a key: it stops working within a second'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and not __fish_seen_subcommand_from list create delete help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l limit -d 'Rows to show [default: 50]' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l cursor -d 'Go on where another list ended' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l all -d 'Show all rows'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l deployment -d 'Those of the deployment, which belong to no organization'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l name -d 'What it is for' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l role -d 'What it may do: publisher, viewer, manager, owner, and admin for the deployment' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l expires-at -d 'When it stops working, like 2027-01-01T00:00:00Z [default: never]' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l expires-in -d 'How long it works, like 2h or 90d' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l deployment -d 'Those of the deployment, which belong to no organization'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -l engine -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -l key -d 'API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -l organization -d 'Organization in which a key of the deployment acts, by its id or uid' -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -l admin-key -r
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -l admin-key-file -r -F
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Delete without asking; needed where nobody can be asked'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -l deployment -d 'Those of the deployment, which belong to no organization'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -l json -d 'Print the API\'s response as it is, for programs'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from help" -f -a "list" -d 'List keys, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create a key, which is shown once'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Delete a key: it stops working within a second'
complete -c ringback -n "__fish_ringback_using_subcommand api-keys; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l target -d 'Measure this running engine instead of starting one' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l key -d 'Owner\'s API key of one of its organizations' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l admin-key -d 'Admin key of the engine; needed for several organizations' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l sqlite -d 'Start an engine on a temporary SQLite database in this folder [default: the current folder]' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l postgres -d 'Start an engine on a temporary database of this PostgreSQL server' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l program -d 'Start this program as the engine, for example an older version [default: this program]' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l events -d 'Number of measured events' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l warm-up-events -d 'Events published before them, which are not measured' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l seconds -d 'Publish for this long; sets the number of events from the rate' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l rate -d 'Events per second at a constant pace; 0 publishes as fast as possible' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l batch -d 'Events per request' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l connections -d 'Concurrent publish requests' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l organizations -d 'Number of organizations' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l webhooks -d 'Webhooks per organization; each receives every event of its organization' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l max-in-flight -d 'Max concurrency of each webhook, 1 to 256' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l payload-bytes -d 'Size of an event\'s data' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l receivers -d 'URL of `ringback load receive` as seen from the engine [default: receivers in this process]' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l receiver-threads -d 'Threads for the receivers in this process' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l json -d 'Write the report as JSON' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l html -d 'Write the report as one HTML page with charts' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l no-bare -d 'Skip the baseline (the same posts without an engine)'
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -l check -d 'Exit with an error if a bound of the scenario is exceeded or a delivery is lost'
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -a "receive" -d 'Play the receivers for a run on another machine'
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -a "fairness" -d 'Measure what an organization notices of another one that does whatever it can'
complete -c ringback -n "__fish_ringback_using_subcommand load; and not __fish_seen_subcommand_from receive fairness help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from receive" -l listen -d 'Address to listen on' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from receive" -l threads -d 'Number of threads' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from receive" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l sqlite -d 'Start engines on temporary SQLite databases in this folder [default: the current folder]' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l postgres -d 'Start engines on temporary databases of this PostgreSQL server' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l program -d 'Start this program as the engine, for example an older version [default: this program]' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l only -d 'Aggressors, separated by commas [default: all]' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l scale -d 'Multiplies the counts of webhooks, deliveries and requests' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l turn-seconds -d 'How long the victim publishes in each turn' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l rounds -d 'How often it is measured alone and beside each aggressor' -r
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l json -d 'Write the report as JSON' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -l check -d 'Exit with an error unless the victim hardly noticed every aggressor'
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from fairness" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from help" -f -a "receive" -d 'Play the receivers for a run on another machine'
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from help" -f -a "fairness" -d 'Measure what an organization notices of another one that does whatever it can'
complete -c ringback -n "__fish_ringback_using_subcommand load; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand cluster" -l engine -d 'Address of any node' -r
complete -c ringback -n "__fish_ringback_using_subcommand cluster" -l admin-key -d 'Admin key of the deployment' -r
complete -c ringback -n "__fish_ringback_using_subcommand cluster" -l admin-key-file -d 'File with the admin key' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand cluster" -l json -d 'Print the API\'s response'
complete -c ringback -n "__fish_ringback_using_subcommand cluster" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand backup" -l database-url -d 'Database: sqlite://path [default: as for `serve`]' -r
complete -c ringback -n "__fish_ringback_using_subcommand backup" -l config -d 'Configuration file to read instead of ./ringback.toml' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand backup" -l fast -d 'As fast as the disk can, also beside a running engine'
complete -c ringback -n "__fish_ringback_using_subcommand backup" -l json -d 'Print what is in the backup as JSON'
complete -c ringback -n "__fish_ringback_using_subcommand backup" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand check" -l database-url -d 'Database: sqlite://path or postgres://user@host/database [default: as for `serve`]' -r
complete -c ringback -n "__fish_ringback_using_subcommand check" -l config -d 'Configuration file to read instead of ./ringback.toml' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand check" -l repair -d 'Repair what safely can be; refused while an engine runs'
complete -c ringback -n "__fish_ringback_using_subcommand check" -l json -d 'Print the results as JSON'
complete -c ringback -n "__fish_ringback_using_subcommand check" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand health" -l url -d 'Address of the engine [default: RINGBACK_ENGINE, or the port of this machine that `serve` listens on]' -r
complete -c ringback -n "__fish_ringback_using_subcommand health" -l timeout -d 'Seconds to wait for the response' -r
complete -c ringback -n "__fish_ringback_using_subcommand health" -l live -d 'Ask only whether the process runs, not whether it can work'
complete -c ringback -n "__fish_ringback_using_subcommand health" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand config; and not __fish_seen_subcommand_from check help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "check" -d 'Print the settings that `serve` would use, where each comes from, and every mistake in them'
complete -c ringback -n "__fish_ringback_using_subcommand config; and not __fish_seen_subcommand_from check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand config; and __fish_seen_subcommand_from check" -l listen -d 'Address of the API and the dashboard [default: 127.0.0.1:8080]' -r
complete -c ringback -n "__fish_ringback_using_subcommand config; and __fish_seen_subcommand_from check" -l database-url -d 'Database: sqlite://path or postgres://user@host/database [default: sqlite://ringback.db]' -r
complete -c ringback -n "__fish_ringback_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'Configuration file to read instead of ./ringback.toml' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand config; and __fish_seen_subcommand_from check" -l dev -d 'Development mode: allow http and local targets, create the organization `dev` and its key'
complete -c ringback -n "__fish_ringback_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Print the settings that `serve` would use, where each comes from, and every mistake in them'
complete -c ringback -n "__fish_ringback_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and not __fish_seen_subcommand_from generate rotate help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and not __fish_seen_subcommand_from generate rotate help" -f -a "generate" -d 'Generate a master key and print it'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and not __fish_seen_subcommand_from generate rotate help" -f -a "rotate" -d 'Re-encrypt the secrets in a database with a new master key'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and not __fish_seen_subcommand_from generate rotate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from generate" -s q -l quiet -d 'Print the key and nothing else'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from generate" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from rotate" -l old -d 'Current master key of the database [default: RINGBACK_MASTER_KEY, or master_key in the configuration file]' -r
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from rotate" -l old-file -d 'File that contains the old key' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from rotate" -l new -d 'New master key. Visible in the list of processes, so prefer the file or the variable' -r
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from rotate" -l new-file -d 'File that contains the new key; takes precedence over RINGBACK_NEW_MASTER_KEY' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from rotate" -l database-url -d 'Database: sqlite://path or postgres://user@host/database [default: as for `serve`]' -r
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from rotate" -l config -d 'Configuration file to read instead of ./ringback.toml' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from help" -f -a "generate" -d 'Generate a master key and print it'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from help" -f -a "rotate" -d 'Re-encrypt the secrets in a database with a new master key'
complete -c ringback -n "__fish_ringback_using_subcommand master-key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and not __fish_seen_subcommand_from token import help" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and not __fish_seen_subcommand_from token import help" -f -a "token" -d 'Print a token for Svix\'s client libraries'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and not __fish_seen_subcommand_from token import help" -f -a "import" -d 'Bring over what Svix\'s open-source server has'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and not __fish_seen_subcommand_from token import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from token" -l environment -d 'Environment [default: the one with the organizations of this deployment]' -r
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from token" -l application -d 'Only this application of it, by its id' -r
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from token" -l config -d 'Configuration file to read instead of ./ringback.toml' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from token" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from import" -l from -d 'PostgreSQL database of Svix\'s server, which is only read; a password may be in PGPASSWORD' -r
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from import" -l to -d 'Address of the engine' -r
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from import" -l encryption-secret -d '`main_secret` of Svix\'s server, when it has one: with it signing keys are encrypted' -r
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from import" -l environment -d 'Only this environment' -r
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from import" -l config -d 'Configuration file to read instead of ./ringback.toml' -r -F
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from import" -l dry-run -d 'Print what would be brought over, and change nothing'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from help" -f -a "token" -d 'Print a token for Svix\'s client libraries'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from help" -f -a "import" -d 'Bring over what Svix\'s open-source server has'
complete -c ringback -n "__fish_ringback_using_subcommand svix; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand completions" -s h -l help -d 'Print help'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "serve" -d 'Run the engine'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "listen" -d 'Run a local receiver that verifies signatures and prints what arrives'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "trigger" -d 'Publish a sample event'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "orgs" -d 'Organizations: the customers of a product'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "webhooks" -d 'Webhooks: where events are sent'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "events" -d 'Events: publish, find, send again'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "logs" -d 'The delivery log: what was sent and what came back'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "event-types" -d 'Event types of an organization, or of the catalogue'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "api-keys" -d 'API keys of an organization, or of the deployment'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "load" -d 'Measure an engine under load, compared with what this machine can do without one'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "cluster" -d 'Show which nodes share the database'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "backup" -d 'Copy a SQLite database while an engine uses it'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "check" -d 'Check a database: its file, what points to nothing, counts against rows'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "health" -d 'Ask a running engine whether it is well'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "config" -d 'Check the settings'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "master-key" -d 'Generate a master key, or change the one that a database uses'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "svix" -d 'Tokens of the Svix-compatible API, and what comes over from Svix\'s server'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c ringback -n "__fish_ringback_using_subcommand help; and not __fish_seen_subcommand_from serve listen trigger orgs webhooks events logs event-types api-keys load cluster backup check health config master-key svix completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from orgs" -f -a "list" -d 'List organizations, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from orgs" -f -a "get" -d 'Show an organization'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from orgs" -f -a "create" -d 'Create an organization'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from orgs" -f -a "update" -d 'Change the fields that are given'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from orgs" -f -a "delete" -d 'Delete an organization with its webhooks, events, logs and keys'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from orgs" -f -a "sign-in-link" -d 'Make a link that opens the dashboard of an organization once'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "list" -d 'List webhooks, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "get" -d 'Show a webhook with all its settings'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "create" -d 'Create a webhook'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "update" -d 'Change the settings that are given'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "delete" -d 'Delete a webhook; what waits for it is cancelled'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "test" -d 'Send one signed sample event now'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "resume" -d 'Close the breaker, and send now what waits for a retry'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "recover" -d 'Send again every failed delivery of a range of time'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "rotate-secret" -d 'Make a new secret; the old one stays valid for a while'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "secret" -d 'Show the secret that verifies signatures'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from webhooks" -f -a "health" -d 'Show whether deliveries succeed, how fast, and what waits'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "list" -d 'List events, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "get" -d 'Show an event with its body and its deliveries'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "publish" -d 'Publish an event'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "replay" -d 'Send an event again'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from logs" -f -a "list" -d 'List deliveries, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from logs" -f -a "get" -d 'Show a delivery with its body and every attempt'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from logs" -f -a "retry" -d 'Send a delivery again, with a new round of retries'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from event-types" -f -a "list" -d 'List event types'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from event-types" -f -a "get" -d 'Show an event type with its sample and schema'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from event-types" -f -a "create" -d 'Create an event type'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from event-types" -f -a "update" -d 'Change the fields that are given'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from event-types" -f -a "delete" -d 'Delete an event type; webhooks that ask for it stay as they are'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from api-keys" -f -a "list" -d 'List keys, the newest first'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from api-keys" -f -a "create" -d 'Create a key, which is shown once'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from api-keys" -f -a "delete" -d 'Delete a key: it stops working within a second'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from load" -f -a "receive" -d 'Play the receivers for a run on another machine'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from load" -f -a "fairness" -d 'Measure what an organization notices of another one that does whatever it can'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Print the settings that `serve` would use, where each comes from, and every mistake in them'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from master-key" -f -a "generate" -d 'Generate a master key and print it'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from master-key" -f -a "rotate" -d 'Re-encrypt the secrets in a database with a new master key'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from svix" -f -a "token" -d 'Print a token for Svix\'s client libraries'
complete -c ringback -n "__fish_ringback_using_subcommand help; and __fish_seen_subcommand_from svix" -f -a "import" -d 'Bring over what Svix\'s open-source server has'

"""The `ferspore` command: one file a subcommand."""

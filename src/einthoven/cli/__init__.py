"""The command line: thin, one subcommand per verb."""

"""The files that runs leave behind: each format is written and read here."""

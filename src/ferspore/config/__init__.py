"""Configuration files and the command line -> one validated `Config`."""

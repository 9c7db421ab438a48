"""The application around the fusion: job service, web page, command line."""

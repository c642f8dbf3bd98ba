"""labwright."""

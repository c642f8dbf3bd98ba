"""Scripts and notebooks that use the parts on their own. One file, top to bottom: copy freely."""

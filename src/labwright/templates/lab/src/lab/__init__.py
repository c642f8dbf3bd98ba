"""The lab: experiments built with labwright."""

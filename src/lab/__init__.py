"""The lab: experiments built with labwright. Yours to change."""

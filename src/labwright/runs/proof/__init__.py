"""Whether a run can be repeated: fingerprints of its steps, and what comes of killing and repeating it."""

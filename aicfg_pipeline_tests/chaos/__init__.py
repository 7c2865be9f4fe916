"""Random histories of the whole pipeline under random faults, with writers that know what they have been promised."""

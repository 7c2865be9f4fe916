"""What a person launches, one file each. Every step validates, acts and records, in that order."""

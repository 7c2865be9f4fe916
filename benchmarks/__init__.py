"""`make bench`: what the pipeline costs, measured side by side with what it is compared to. Not part of the package."""

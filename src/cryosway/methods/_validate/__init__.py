"""What of a job's landscape is real."""

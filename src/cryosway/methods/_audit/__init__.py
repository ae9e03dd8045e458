"""What a structural fit makes of data that do not hold its motion."""

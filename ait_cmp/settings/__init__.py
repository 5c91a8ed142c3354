"""What the user says, checked once, at the edge."""

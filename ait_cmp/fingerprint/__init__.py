"""What is kept of a tensor instead of the tensor, how that is made, and the file that it is in."""

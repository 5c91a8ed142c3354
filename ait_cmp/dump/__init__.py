"""The producer side: what runs inside, or around, the user's model script."""

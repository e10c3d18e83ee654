"""What the house claims about its own numbers, measured."""

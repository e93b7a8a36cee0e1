"""What `cvq doctor` says of set-ups that are at fault, and of odd ones that are not."""

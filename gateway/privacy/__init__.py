"""What is held of one student, all over the house: told to him, or erased."""

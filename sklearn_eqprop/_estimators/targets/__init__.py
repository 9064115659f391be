"""What the output layer stands for."""

"""What scores answers: reward models, Python functions, servers."""

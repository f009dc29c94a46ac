"""What a run of slim.py shows: slim.html and its charts."""

"""What a run does when numbers, memory or a process that loads images fail."""

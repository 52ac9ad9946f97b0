"""What answers online, on Flask: the recommendation API."""

"""What other systems send, as observations of streams: pure translation, below the API and the commands."""

"""What happens now: the journal followed in every process, and the class board that shows it over WebSocket."""

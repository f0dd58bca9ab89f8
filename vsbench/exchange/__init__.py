"""What enters and leaves: generators that the official codes saved."""

"""What the API offers of todos: each operation calls the services that pages call."""

"""The light side of the chat worker's pipe: the messages that cross it, and the client that speaks them."""

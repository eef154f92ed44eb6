"""Conversations: messages, the files that hold them, and what they can be exported to."""

"""The page for people at `/`, and what it says in words. It knows the status document, and no
request or supervisor."""

"""Which server will do for a session: how far on it must be, which protocol it speaks, and why one
did not take us. What is asked over the session is not known here."""

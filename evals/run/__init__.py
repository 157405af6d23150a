"""Making the attempts: the plan and its manifest, the queue, one attempt, and what each leaves on disk."""

"""What a fitted estimator holds, and where its network comes to rest."""

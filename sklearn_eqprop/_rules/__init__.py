"""Who gets the credit: from settled states to a change of every parameter."""

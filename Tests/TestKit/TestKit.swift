// TestKit: being built.

// Scenarios: being built.

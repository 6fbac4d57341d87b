// ConfigTests: being built.

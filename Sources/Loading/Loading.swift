// Loading: being built.

// HTTP: being built.

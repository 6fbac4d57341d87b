// Base: being built.

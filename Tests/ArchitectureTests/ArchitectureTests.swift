// ArchitectureTests: being built.

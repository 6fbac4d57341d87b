// Proxy: being built.
